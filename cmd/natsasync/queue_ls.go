package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
)

type queueLsCmd struct{}

type quotaView struct {
	Name    string    `json:"name"`
	Size    int       `json:"size"`
	Active  int       `json:"active"`
	Pending uint64    `json:"pending"`
	Paused  time.Time `json:"paused_until,omitzero"`
}

// queueView is paused when all its lanes are but system, until the first of them goes on.
type queueView struct {
	Name       string      `json:"name"`
	Pending    uint64      `json:"pending"`
	Scheduled  uint64      `json:"scheduled"`
	Active     int         `json:"active"`
	Quotas     []quotaView `json:"quotas"`
	Paused     time.Time   `json:"paused_until,omitzero"`
	FreePaused time.Time   `json:"free_paused_until,omitzero"` // jobs that hold no quota
	Differs    []string    `json:"differs,omitempty"`

	lanes, paused int
}

// Run lists all queues.
func (queueLsCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, _ *producer.Client) error {
		views, err := s.queues(ctx)
		if err != nil {
			return err
		}
		for _, v := range views {
			for _, what := range v.Differs {
				s.remark("queue %q: %s", v.Name, what)
			}
		}
		return s.result(views, func() error { return s.queueTable(views) })
	})
}

func (s *session) queues(ctx context.Context) ([]queueView, error) {
	b, err := s.broker(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.brief(ctx)
	defer cancel()
	names, err := b.Queues(ctx)
	if err != nil {
		return nil, err
	}
	lanes, err := b.Lanes(ctx, "")
	if err != nil {
		return nil, err
	}
	views := make([]queueView, len(names))
	for i, name := range names {
		v := queueView{Name: name, Quotas: []quotaView{}}
		for _, lane := range lanes {
			if lane.Queue == name {
				v.add(lane, b.Differs(lane))
			}
		}
		v.close()
		if v.Scheduled, err = scheduled(ctx, b, name); err != nil {
			return nil, err
		}
		views[i] = v
	}
	return views, nil
}

func (v *queueView) add(lane stream.Lane, differs []string) {
	for _, what := range differs {
		v.Differs = append(v.Differs, fmt.Sprintf("lane %q: %s: workers stop taking from it", lane.Name, what))
	}
	if lane.Name == stream.LaneSystem {
		return
	}
	v.Pending += lane.Info.NumPending
	v.Active += lane.Info.NumAckPending
	v.lanes++
	var until time.Time
	if lane.Info.Paused && lane.Info.Config.PauseUntil != nil {
		until = lane.Info.Config.PauseUntil.UTC()
		v.paused++
		if v.Paused.IsZero() || until.Before(v.Paused) {
			v.Paused = until
		}
	}
	if lane.Name == stream.LaneFree {
		v.FreePaused = until
		return
	}
	v.Quotas = append(v.Quotas, quotaView{lane.Name, lane.Size, lane.Info.NumAckPending, lane.Info.NumPending, until})
}

// close is for when all lanes are added.
func (v *queueView) close() {
	if v.paused < v.lanes {
		v.Paused = time.Time{}
	}
}

// quotas marks what is paused while the rest of the queue is not.
func (v *queueView) quotas() string {
	var shown []string
	for _, q := range v.Quotas {
		text := fmt.Sprintf("%s %d/%d", q.Name, q.Active, q.Size)
		if v.Paused.IsZero() && !q.Paused.IsZero() {
			text += " paused"
		}
		shown = append(shown, text)
	}
	if v.Paused.IsZero() && !v.FreePaused.IsZero() {
		shown = append(shown, stream.LaneFree+" paused")
	}
	return strings.Join(shown, ", ")
}

// scheduled counts the jobs whose time has not come.
func scheduled(ctx context.Context, b *stream.Broker, queue string) (uint64, error) {
	var sum uint64
	var failed []error
	for _, at := range [...]struct{ stream, filter string }{
		{b.Jobs(), b.LaneFilter(queue, stream.LaneLater)},
		{b.Later(), b.LaterJob(queue, "*", ">")},
		{b.Later(), b.DueJob(queue, "*", ">")},
	} {
		n, err := b.Count(ctx, at.stream, at.filter)
		sum, failed = sum+n, append(failed, err)
	}
	return sum, errors.Join(failed...)
}

func (s *session) queueTable(views []queueView) error {
	var rows [][]cell
	for _, v := range views {
		row := texts(v.Name, strconv.FormatUint(v.Pending, 10), strconv.FormatUint(v.Scheduled, 10), strconv.Itoa(v.Active), v.quotas())
		rows = append(rows, append(row, cell{pausedText(v.Paused), yellow}))
	}
	return s.table([]string{"queue", "pending", "scheduled", "active", "quotas", "paused"}, rows)
}

func pausedText(until time.Time) string {
	switch {
	case until.IsZero():
		return ""
	case time.Until(until) > openEnded/2:
		return "until resumed"
	}
	return "until " + clock(until)
}
