package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
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

// Run shows outcomes and events as the server tells of them, in one order, until ctx ends. It makes nothing on the
// server, so whoever may listen may watch; what happens while the connection is away is not shown.
func (c watchCmd) Run(ctx context.Context, e *environment) error {
	e.live = true
	return e.with(ctx, func(s *session, client *producer.Client) error {
		if err := c.check(ctx, client); err != nil {
			return err
		}
		b, err := s.broker(ctx)
		if err != nil {
			return err
		}
		w := &watcher{terminal: s.terminal, b: b}
		messages := make(chan *nats.Msg, waitingLines)
		queue := cmp.Or(c.Queue, "*")
		owner, err := s.connection.heard()
		if err != nil {
			return err
		}
		if err := s.listen(b, messages, b.Record(queue, "*", owner, "*"), b.Event(queue, "*", owner, "*")); err != nil {
			return err
		}
		if err := s.reaches(ctx, b, b.Outcome(queue, "*", owner, "*")); err != nil {
			return err
		}
		what := "all queues"
		if c.Queue != "" {
			what = "queue " + c.Queue
		}
		s.remark("watching %s until interrupted", what)
		for {
			select {
			case <-ctx.Done():
				return nil
			case m := <-messages:
				if err := w.show(m); err != nil {
					return err
				}
			}
		}
	})
}

// listen subscribes to all subjects, and is an error if this login may listen on none of them. The server tells a denial
// before it answers a flush.
func (s *session) listen(b *stream.Broker, messages chan *nats.Msg, subjects ...string) error {
	denied := 0
	for _, subject := range subjects {
		if _, err := s.nc.ChanSubscribe(subject, messages); err != nil {
			return fmt.Errorf("listen on %s: %w", subject, err)
		}
		if err := s.nc.FlushTimeout(s.connection.Timeout); err != nil {
			return fmt.Errorf("listen on %s: %w", subject, err)
		}
		if b.Denied(subject) {
			denied++
		}
	}
	if denied == len(subjects) {
		return fmt.Errorf("listen on %s: %w (use the login of a watcher or an operator, or give --owner to one of a single user)", strings.Join(subjects, " or "), nats.ErrPermissionViolation)
	}
	return nil
}

// reaches is an error if nobody answers for the outcomes: then the account imports nothing, and what it does not import is
// never heard. Who may listen and not look is believed.
func (s *session) reaches(ctx context.Context, b *stream.Broker, outcomes string) error {
	ctx, cancel := s.brief(ctx)
	defer cancel()
	if _, err := b.LastDirect(ctx, b.Outcomes(), outcomes); errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	return nil
}

// waitingLines are how many messages wait to be printed; the client drops more, and says so.
const waitingLines = 8192

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

// watcher prints a line for what the server tells.
type watcher struct {
	*terminal
	b *stream.Broker
}

// heard is the owner of whose jobs this login may hear, "*" for all.
func (c connection) heard() (string, error) {
	u, err := c.owner()
	if err != nil || u.Anonymous() {
		return "*", err
	}
	return u.Owner(), nil
}

// show prints what a message tells. What cannot be read or proved tells nothing, and a claim is told by its event.
func (w *watcher) show(m *nats.Msg) error {
	if e, err := w.b.ReadEvent(m); err == nil {
		return w.event(*e)
	}
	if s, err := w.b.Announced(m); err == nil && s.Record != nil {
		return w.outcome(s.Record.Outcome)
	}
	return nil
}

func (w *watcher) outcome(o task.Outcome) error {
	h := happening{
		Time: o.Ended.UTC(), What: string(o.End), ID: o.ID, Task: o.Task, Queue: o.Queue, Object: o.Object.String(),
		User: viewUser(o.User), Worker: o.Worker, Attempt: o.Attempt, Text: summary(o), Failure: viewFailure(o.Failure), user: nameOf(o.User),
	}
	if !o.Started.IsZero() {
		h.Took = took(o).String()
	}
	return w.print(h)
}

func (w *watcher) event(x task.Event) error {
	return w.print(happening{
		Time: x.At.UTC(), What: x.Kind, ID: x.ID, Task: x.Task, Queue: x.Queue, Worker: x.Worker, Attempt: x.Attempt,
		Progress: x.Progress, Text: x.Text,
	})
}

func (w *watcher) print(h happening) error {
	if w.asJSON {
		return w.writeJSONLine(h)
	}
	return w.say("%s", w.happening(h))
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
