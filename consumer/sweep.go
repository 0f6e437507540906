package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	sweepEvery = 5 * time.Minute
	sweepLate  = 5 * time.Second // the server fires within 0.25 s
)

// sweepLater has schedules that are overdue set again, until ctx ends: a server has been
// seen not to fire one after its cluster's leader changed.
func (w *Worker) sweepLater(ctx context.Context) {
	for stream.Sleep(ctx, sweepEvery/2+rand.N(sweepEvery)) {
		for m, err := range w.broker.Range(ctx, w.broker.Later(), w.broker.LaterFilter(), 1) {
			if err != nil {
				w.log.DebugContext(ctx, "look for overdue schedules", "err", err)
				break
			}
			if due, ok := stream.ScheduledFor(m); ok && time.Since(due) > sweepLate {
				w.setAgain(ctx, m)
			}
		}
	}
}

// setAgain stores a schedule once more in its own place. If it fires meanwhile, the job
// comes twice and is looked up twice, which runs it once.
func (w *Worker) setAgain(ctx context.Context, m *stream.Message) {
	at, ok := w.broker.ParseLater(m.Subject)
	if !ok {
		return
	}
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := w.broker.Publish(once, w.broker.Schedule(at, time.Now(), m.Header, m.Data))
	w.log.WarnContext(ctx, "a schedule was overdue and is set again", "id", at.ID, "queue", at.Queue, "err", err)
}
