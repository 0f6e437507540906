package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type watchCmd struct {
	Queue string `arg:"" optional:"" help:"Name of the queue; all without it."`
}

// happening is one line of watch.
type happening struct {
	Time     time.Time    `json:"time"`
	What     string       `json:"what"` // an end, or started, retrying, progress
	ID       string       `json:"id"`
	Task     string       `json:"task"`
	Queue    string       `json:"queue"`
	Object   string       `json:"object,omitempty"`
	User     *userView    `json:"user,omitempty"`
	Worker   string       `json:"worker,omitempty"`
	Attempt  int          `json:"attempt,omitempty"`
	Took     string       `json:"took,omitempty"`
	Progress float64      `json:"progress,omitempty"`
	Text     string       `json:"text,omitempty"`
	Failure  *failureView `json:"failure,omitempty"`

	user string
}

// Run shows outcomes, which it reads from their stream, and events, until ctx ends.
func (c watchCmd) Run(ctx context.Context, e *environment) error {
	e.live = true
	return e.with(ctx, func(s *session, client *producer.Client) error {
		if err := c.check(ctx, client); err != nil {
			return err
		}
		w := &watcher{terminal: s.terminal, broken: make(chan error, 1)}
		sub, err := hooks.Subscribe(ctx, s.js, w.handlers(), hooks.Config{Queue: c.Queue, Namespace: s.connection.Namespace, Logger: s.logger(), Trust: s.connection.trust()})
		if err != nil {
			return err
		}
		defer sub.Stop()
		what := "all queues"
		if c.Queue != "" {
			what = "queue " + c.Queue
		}
		s.remark("watching %s until interrupted", what)
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.broken:
			return err
		}
	})
}

func (c watchCmd) check(ctx context.Context, client *producer.Client) error {
	if c.Queue == "" {
		return nil
	}
	queues, err := client.Queues(ctx)
	if err != nil || slices.Contains(queues, c.Queue) {
		return err
	}
	return fmt.Errorf("queue %s: %w (there are %s)", task.Quote(c.Queue), producer.ErrNoSuchQueue, strings.Join(queues, ", "))
}

// watcher prints one line at a time: outcomes and events come side by side.
type watcher struct {
	*terminal
	broken chan error

	mu sync.Mutex
}

func (w *watcher) handlers() hooks.Handlers {
	return hooks.Handlers{
		Success: w.outcome, Failure: w.outcome, Cancelled: w.outcome,
		Started: w.event, Retrying: w.event, Progress: w.event,
	}
}

func (w *watcher) outcome(_ context.Context, o task.Outcome) error {
	h := happening{
		Time: o.Ended.UTC(), What: string(o.End), ID: o.ID, Task: o.Task, Queue: o.Queue, Object: o.Object.String(),
		User: viewUser(o.User), Worker: o.Worker, Attempt: o.Attempt, Text: summary(o), Failure: viewFailure(o.Failure), user: nameOf(o.User),
	}
	if !o.Started.IsZero() {
		h.Took = took(o).String()
	}
	w.print(h)
	return nil
}

func (w *watcher) event(_ context.Context, x task.Event) {
	w.print(happening{
		Time: x.At.UTC(), What: x.Kind, ID: x.ID, Task: x.Task, Queue: x.Queue, Worker: x.Worker, Attempt: x.Attempt,
		Progress: x.Progress, Text: x.Text,
	})
}

// print ends the command when nobody reads it any more.
func (w *watcher) print(h happening) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.asJSON {
		err = w.writeJSONLine(h)
	} else {
		err = w.say("%s", w.happening(h))
	}
	if err == nil {
		return
	}
	select {
	case w.broken <- err:
	default:
	}
}

func (w *watcher) happening(h happening) string {
	colour := endColour(h.What)
	if h.What == task.EventRetrying {
		colour = yellow
	}
	fields := []string{
		h.Time.Local().Format("15:04:05.000"), w.paint(fmt.Sprintf("%-9s", h.What), colour), printable(h.ID), printable(orDash(h.Task)),
		printable(orDash(h.Object)), printable(orDash(h.user)), orDash(h.Took),
	}
	if h.Attempt > 1 {
		fields = append(fields, "attempt "+strconv.Itoa(h.Attempt))
	}
	if h.What == task.EventProgress {
		fields = append(fields, fmt.Sprintf("%.0f%%", 100*h.Progress))
	}
	if h.Text != "" {
		fields = append(fields, printable(h.Text))
	}
	return strings.Join(fields, "  ")
}
