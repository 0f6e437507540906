package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/natsasync/natsasync/producer"
)

type workerLsCmd struct{}

type workerView struct {
	ID          string    `json:"id"`
	Name        string    `json:"name,omitempty"`
	Version     string    `json:"version,omitempty"`
	Host        string    `json:"host,omitempty"`
	PID         int       `json:"pid,omitempty"`
	Queues      []string  `json:"queues"`
	Tasks       []string  `json:"tasks"`
	Concurrency int       `json:"concurrency,omitempty"`
	Trust       string    `json:"trust,omitempty"`
	Started     time.Time `json:"started,omitzero"`
}

// Run lists the workers that answer.
func (workerLsCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, client *producer.Client) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		workers, err := client.Workers(ctx)
		if err != nil {
			return err
		}
		if len(workers) == 0 {
			s.remark("nobody answers: no worker runs, or the login's account does not import $SRV.INFO.natsasync-worker")
		}
		views := make([]workerView, len(workers))
		var rows [][]cell
		for i, w := range workers {
			views[i] = workerView{w.ID, w.Name, w.Version, w.Host, w.PID, orEmpty(w.Queues), orEmpty(w.Tasks), w.Concurrency, w.Trust, w.Started.UTC()}
			rows = append(rows, texts(w.Name, w.Host, strconv.Itoa(w.PID), strings.Join(w.Queues, ","), strconv.Itoa(w.Concurrency), w.Trust, strings.Join(w.Tasks, ","), clock(w.Started)))
		}
		return s.result(views, func() error {
			return s.table([]string{"worker", "host", "pid", "queues", "slots", "trust", "tasks", "started"}, rows)
		})
	})
}

func orEmpty(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
