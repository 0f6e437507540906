package consumer

import (
	"context"
	"time"
)

// watchStuck looks for functions that go on although their contexts have ended, a third of
// the lease later: they hold a slot, and their jobs, until they return.
func (w *Worker) watchStuck(now time.Time) {
	var told []*attempt
	stuck := 0
	w.mu.Lock()
	for _, d := range w.jobs {
		a := d.running.Load()
		if a == nil || a.ctx.Err() == nil {
			continue
		}
		if a.overdue.IsZero() {
			a.overdue = now
		}
		if now.Sub(a.overdue) < w.broker.Lease()/3 {
			continue
		}
		stuck++
		if !a.told {
			a.told = true
			told = append(told, a)
		}
	}
	w.mu.Unlock()
	w.stuck.Store(int64(stuck))
	for _, a := range told {
		w.log.Error("a function goes on although its context has ended: it holds a slot until it returns (a handler must heed its context)",
			"id", a.Job.ID, "queue", a.Job.Queue, "task", a.Job.Task, "ended", context.Cause(a.ctx))
	}
}
