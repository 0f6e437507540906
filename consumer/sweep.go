package consumer

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	sweepEvery = 5 * time.Minute
	sweepLate  = 5 * time.Second // the server fires within 0.25 s
)

// sweepLater has schedules that are overdue set again, until ctx ends: a server has been
// seen not to fire one after its cluster's leader changed.
func (w *Worker) sweepLater(ctx context.Context) {
	for pauseFor(ctx, sweepEvery/2+rand.N(sweepEvery)) {
		for m, err := range w.broker.Range(ctx, w.broker.Later(), w.broker.LaterFilter(), 1) {
			if err != nil {
				w.log.DebugContext(ctx, "look for overdue schedules", "err", err)
				break
			}
			if due, ok := scheduledFor(m); ok && time.Since(due) > sweepLate {
				w.setAgain(ctx, m)
			}
		}
	}
}

func scheduledFor(m *stream.Message) (time.Time, bool) {
	at, ok := strings.CutPrefix(m.Header.Get("Nats-Schedule"), "@at ")
	if !ok {
		return time.Time{}, false
	}
	due, err := time.Parse(time.RFC3339Nano, at)
	return due, err == nil
}

// setAgain stores a schedule once more in its own place. If it fires meanwhile, the job
// comes twice and is looked up twice, which runs it once.
func (w *Worker) setAgain(ctx context.Context, m *stream.Message) {
	at, ok := w.broker.ParseLater(m.Subject)
	if !ok {
		return
	}
	again := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: m.Header}
	again.Header["Nats-Schedule"] = []string{"@at " + time.Now().UTC().Format(time.RFC3339Nano)}
	again.Header["Nats-Schedule-Target"] = []string{w.broker.DueJob(at.Queue, at.Owner, at.ID)}
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := w.broker.Publish(once, again)
	w.log.WarnContext(ctx, "a schedule was overdue and is set again", "id", at.ID, "queue", at.Queue, "err", err)
}
