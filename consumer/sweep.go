package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	sweepEvery = 5 * time.Minute
	sweepLate  = 5 * time.Second // the server fires within 0.25 s
)

// sweep mends what a server may leave behind, now and then and after each reconnect, until
// ctx ends.
func (w *Worker) sweep(ctx context.Context) {
	nc := w.broker.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	for {
		pause := sweepEvery/2 + rand.N(sweepEvery)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-connected:
			timer.Stop()
			// What was under way when the server died settles first.
			if !stream.Sleep(ctx, w.broker.Lease()+rand.N(w.broker.Lease())) {
				return
			}
		}
		w.sweepLater(ctx)
		w.sweepAcked(ctx)
	}
}

// sweepLater has schedules that are overdue set again: a server has been seen not to fire
// one after its cluster's leader changed.
func (w *Worker) sweepLater(ctx context.Context) {
	for m, err := range w.broker.Range(ctx, w.broker.Later(), w.broker.LaterFilter(), 1) {
		if err != nil {
			w.log.DebugContext(ctx, "look for overdue schedules", "err", err)
			return
		}
		if due, ok := stream.ScheduledFor(m); ok && w.broker.SureNow(ctx).Sub(due) > sweepLate {
			w.setAgain(ctx, m)
		}
	}
}

// sweepAcked removes jobs that have ended and whose ack a killed server remembers, but not
// the removal that came of it: no consumer hands them out again.
func (w *Worker) sweepAcked(ctx context.Context) {
	left, err := w.broker.AckedAndThere(ctx, w.cfg.Queues)
	if err != nil {
		w.log.DebugContext(ctx, "look for jobs that were acked and are still there", "err", err)
		return
	}
	for _, l := range left {
		s, err := w.broker.Standing(ctx, l.Queue, l.Owner, l.ID)
		if err != nil {
			w.log.DebugContext(ctx, "look for jobs that were acked and are still there", "queue", l.Queue, "err", err)
			return
		}
		if s.Record == nil {
			w.log.ErrorContext(ctx, "a job was acked and has no outcome: it does not run (somebody else took it from the lane; queue it again)", "id", l.ID, "queue", l.Queue)
			continue
		}
		if err := w.broker.AckAgain(l); err != nil {
			w.log.DebugContext(ctx, "ack again", "id", l.ID, "queue", l.Queue, "err", err)
			return
		}
		w.log.InfoContext(ctx, "a job that has ended was still there and is removed", "id", l.ID, "queue", l.Queue)
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
	_, err := w.broker.Publish(once, w.broker.Schedule(at, w.broker.Now(), m.Header, m.Data))
	w.log.WarnContext(ctx, "a schedule was overdue and is set again", "id", at.ID, "queue", at.Queue, "err", err)
}
