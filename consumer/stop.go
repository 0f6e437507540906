package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/natsasync/natsasync/task"
)

// stop is what happens to a delivery instead of an outcome.
type stop struct{ do func(*delivery) }

var (
	// stopLost leaves a job to the worker that has it now: no ack, no nak, no renewal.
	stopLost = &stop{func(d *delivery) { d.leave(nil) }}
	// stopCancelled settles from the recorded cancellation.
	stopCancelled = &stop{func(d *delivery) { d.afterCancel() }}
	// stopReturned gives a started job back at shutdown; its claim says that it was no
	// interruption.
	stopReturned = &stop{func(d *delivery) {
		c := d.amend()
		c.State = task.ClaimReturned
		if err := d.writeClaim(c); err != nil {
			d.stopOf(err).do(d)
			return
		}
		d.back(0)
	}}
	// stopBack gives a job back that is where it was, like a parked one at shutdown.
	stopBack = &stop{func(d *delivery) { d.back(0) }}
)

// stopOf says what follows from a record that could not be written.
func (d *delivery) stopOf(err error) *stop {
	if errors.Is(err, task.ErrCancelled) {
		return stopCancelled
	}
	return &stop{func(d *delivery) {
		d.lose(err)
		d.leave(nil)
	}}
}

// stopUnavailable gives a job back whose user or object could not be looked up.
func (d *delivery) stopUnavailable(err error) *stop {
	return d.stopPutBack("look up its user or object", err)
}

// stopPutBack gives a job back that cannot go on now. It counts neither an attempt nor an
// interruption.
func (d *delivery) stopPutBack(step string, err error) *stop {
	return &stop{func(d *delivery) {
		if d.claim != nil && d.claim.State == task.ClaimRunning {
			c := d.amend()
			c.State = task.ClaimReturned
			if err := d.writeClaim(c); err != nil {
				d.stopOf(err).do(d)
				return
			}
		}
		d.giveBack(unavailablePause(d.deliveries()), step, err)
	}}
}

// stopRetry closes a failed attempt and tries again after a pause: in its place in the
// lane, or aside.
func stopRetry(env *task.Envelope, failure *task.Failure, pause time.Duration) *stop {
	return &stop{func(d *delivery) {
		c := d.amend()
		c.State, c.Member, c.Continued, c.Queues = task.ClaimRetrying, env.ID, nil, nil
		c.Attempts, c.Failure, c.NotBefore = failure.Attempt, failure, d.now().Add(pause)
		if err := d.writeClaim(c); err != nil {
			d.stopOf(err).do(d)
			return
		}
		d.w.log.Warn("attempt failed, trying again", "id", env.ID, "task", env.Task, "queue", env.Queue, "attempt", failure.Attempt, "code", failure.Code, "pause", pause)
		d.w.eventOf(task.Event{Kind: task.EventRetrying, Queue: env.Queue, Owner: d.at.Owner, ID: env.ID, Task: env.Task, Attempt: failure.Attempt, Text: failure.Message})
		if env.Retry != nil && env.Retry.Aside && pause > 0 {
			d.putOff(c.NotBefore)
			return
		}
		d.back(pause)
	}}
}

// afterCancel settles a job whose cancellation stands.
func (d *delivery) afterCancel() {
	s, err := d.standing()
	if err != nil || s.Record == nil {
		d.giveBack(time.Second, "read its cancellation", errors.Join(err, context.Cause(d.ctx)))
		return
	}
	d.recorded.Store(true)
	d.finish(s.Record)
}
