package consumer

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	sweepEvery = 5 * time.Minute
	sweepLate  = 5 * time.Second // the server fires within 0.25 s
	sweepBatch = 500
)

// sweep mends what a server and those who cancel may leave behind, soon after the start
// and each reconnect and now and then, until ctx ends.
func (w *Worker) sweep(ctx context.Context) {
	nc := w.broker.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	since := w.broker.SureNow(ctx)
	for {
		// What was under way when the server or another worker died settles first.
		if !stream.Sleep(ctx, w.broker.Lease()+rand.N(w.broker.Lease())) {
			return
		}
		if w.takesSweep(ctx, since) {
			w.sweepLater(ctx)
		}
		w.sweepAcked(ctx)
		timer := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			since = w.broker.SureNow(ctx).Add(-sweepEvery / 2)
		case <-connected:
			timer.Stop()
			since = w.broker.SureNow(ctx)
		}
	}
}

// takesSweep says whether no other worker has looked through the schedules since: there may
// be hundreds of thousands, and one look is enough for all.
func (w *Worker) takesSweep(ctx context.Context, since time.Time) bool {
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	mine, err := w.broker.TakeSweep(once, since)
	if err != nil {
		w.log.DebugContext(ctx, "look through the schedules", "err", err)
	}
	return mine
}

// sweepLater has schedules that are overdue set again, since a server has been seen not to
// fire one after its cluster's leader changed, and takes out those of jobs that have ended:
// who cancels a job may not delete there, and the outcome may age out before the job is due.
func (w *Worker) sweepLater(ctx context.Context) {
	scheduled := make(map[string]uint64, sweepBatch) // sequences by fence
	for m, err := range w.broker.Range(ctx, w.broker.Later(), w.broker.LaterFilter(), 1) {
		if err != nil {
			w.log.DebugContext(ctx, "look through the schedules", "err", err)
			return
		}
		if due, ok := stream.ScheduledFor(m); ok && w.broker.SureNow(ctx).Sub(due) > sweepLate {
			w.setAgain(ctx, m)
		}
		if at, ok := w.broker.ParseLater(m.Subject); ok {
			scheduled[w.broker.Fence(at.Queue, at.Owner, at.ID)] = m.Seq
		}
		if len(scheduled) == sweepBatch {
			w.withdrawEnded(ctx, scheduled)
			clear(scheduled)
		}
	}
	w.withdrawEnded(ctx, scheduled)
}

// withdrawEnded takes out the schedules of those jobs that have ended.
func (w *Worker) withdrawEnded(ctx context.Context, scheduled map[string]uint64) {
	records, err := w.broker.LastEach(ctx, w.broker.Outcomes(), slices.Collect(maps.Keys(scheduled)))
	if err != nil {
		w.log.DebugContext(ctx, "look for schedules of jobs that have ended", "err", err)
		return
	}
	for _, m := range records {
		s := w.broker.ReadStanding(m)
		if s.Record == nil {
			continue
		}
		at := s.Subject
		if s, err = w.broker.Standing(ctx, at.Queue, at.Owner, at.ID); err == nil && s.Record != nil {
			err = w.broker.Delete(ctx, w.broker.Later(), scheduled[w.broker.Fence(at.Queue, at.Owner, at.ID)])
		}
		w.log.DebugContext(ctx, "a job that has ended was scheduled", "id", at.ID, "queue", at.Queue, "err", err)
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
	if len(left) == 0 {
		return
	}
	w.log.DebugContext(ctx, "jobs were acked and are still there, looking again", "jobs", len(left))
	// In a cluster an ack and the removal that comes of it are two steps.
	if !stream.Sleep(ctx, w.broker.Lease()) {
		return
	}
	for _, l := range left {
		if err := w.clear(ctx, l); err != nil {
			w.log.DebugContext(ctx, "look at a job that was acked and is still there", "id", l.ID, "queue", l.Queue, "err", err)
			return
		}
	}
}

// clear removes a job that was acked and is still there, if it has ended or lies where it
// was moved to.
func (w *Worker) clear(ctx context.Context, l stream.Leftover) error {
	if there, err := w.broker.StillThere(ctx, l); err != nil || !there {
		return err
	}
	s, err := w.broker.Standing(ctx, l.Queue, l.Owner, l.ID)
	if err != nil {
		return err
	}
	if s.Record == nil {
		moved, err := w.broker.Moved(ctx, l)
		if err != nil {
			return err
		}
		if !moved {
			w.log.ErrorContext(ctx, "a job was acked and has no outcome: it does not run (somebody else took it from the lane; queue it again)", "id", l.ID, "queue", l.Queue)
			return nil
		}
	}
	if err := w.broker.AckAgain(l); err != nil {
		return err
	}
	w.log.InfoContext(ctx, "a job that has ended or was moved on was still there and is removed", "id", l.ID, "queue", l.Queue)
	return nil
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
