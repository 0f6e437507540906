package consumer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// unknownTask names a task that this worker would need and does not know. A serial batch
// is taken only by a worker that knows all of its tasks: they run here.
func (d *delivery) unknownTask(env *task.Envelope) string {
	switch env.Mode {
	case task.Single:
		if !d.w.reg.Knows(env.Task) {
			return env.Task
		}
	case task.Serial:
		for _, body := range env.Members {
			m, err := task.DecodeEnvelope(body)
			if err != nil {
				continue // told when its turn comes
			}
			if name := d.unknownTask(m); name != "" {
				return name
			}
		}
	}
	return ""
}

// unknown leaves a job to a worker that knows it. The first sighting is recorded: when
// the grace time after it is over, the job fails.
//
// name is empty for an envelope of a later version, of which nothing but its subject is
// known: when its grace time is over it is put aside.
func (d *delivery) unknown(name string, why error) {
	if d.claim != nil && d.older(d.claim) {
		d.leave(nil)
		return
	}
	c := d.amend()
	if left := c.NotBefore.Sub(d.now()); c.State == task.ClaimRetrying && left > 0 {
		d.back(left)
		return
	}
	first := c.Seen.IsZero()
	if first && !d.alone(name, why) {
		return
	}
	if first {
		if c.State == task.ClaimRunning {
			c.Interruptions++
		}
		c.State, c.Seen = task.ClaimUnknown, d.w.broker.Now()
		if err := d.writeClaim(c); err != nil {
			d.stopOf(err).do(d)
			return
		}
		d.w.log.Warn("a job is left to a worker that knows its task", "id", d.at.ID, "queue", d.at.Queue, "task", name, "grace", d.w.cfg.UnknownGrace.String())
	}
	if d.now().Sub(c.Seen) < d.w.cfg.UnknownGrace {
		d.back(min(time.Duration(d.deliveries())*200*time.Millisecond, 5*time.Second, d.w.cfg.UnknownGrace))
		return
	}
	if name == "" {
		d.reject("version", why)
		return
	}
	d.settle(d.failed(d.env, fmt.Errorf("%s: %w", name, task.ErrNoSuchTask), c.Attempts+1))
}

// alone says whether no other message of the job that counts lies in another lane. If one
// does, a sighting would be written over what its worker records, and the delivery has ended:
// the younger of the two is put aside, and so is what this version cannot read.
func (d *delivery) alone(name string, why error) bool {
	b := d.w.broker
	ctx, done := d.bookkeeping()
	defer done()
	own := uint64(0) // the sequence in the stream Jobs
	if d.from.stream == b.Jobs() {
		own = d.message
	}
	n, err := b.Count(ctx, b.Jobs(), b.Job(d.at.Queue, "*", d.at.Owner, d.at.ID))
	if err == nil && (n == 0 || n == 1 && own > 0) {
		return true
	}
	all, lanesErr := b.InLanes(ctx, d.at.Queue, d.at.Owner, d.at.ID)
	all = slices.DeleteFunc(all, func(m *stream.Message) bool { return m.Seq == own })
	switch {
	case err != nil || lanesErr != nil:
		d.giveBack(unavailablePause(d.deliveries()), "look for other messages of its ID", errors.Join(err, lanesErr))
	case len(all) == 0:
		return true
	case name == "":
		d.reject("version", fmt.Errorf("%w, and the job %s lies in another lane too", why, d.at.ID))
	case slices.ContainsFunc(all, func(m *stream.Message) bool { return m.Seq < own }):
		d.reject("subject", fmt.Errorf("the job %s lies in another lane already", d.at.ID))
	default:
		d.back(time.Second)
	}
	return false
}

// expired fails a job that did not start in time. One that has started may go on; a
// retry is a start.
func (d *delivery) expired() bool {
	if d.env.StartWithin == 0 {
		return false
	}
	if d.claim != nil {
		switch d.claim.State {
		case task.ClaimRunning, task.ClaimParked, task.ClaimReturned:
			return false
		}
	}
	late := d.now().Sub(d.due()) - d.env.StartWithin
	if late <= 0 {
		return false
	}
	err := fmt.Errorf("%w: %v late, it had to start within %v", task.ErrExpired, late.Round(time.Millisecond), d.env.StartWithin)
	if d.claim != nil && d.claim.Failure != nil {
		err = fmt.Errorf("%w, after: %w", err, d.claim.Failure)
	}
	d.settle(d.failed(d.env, err, d.attempts(d.env.ID)+1))
	return true
}
