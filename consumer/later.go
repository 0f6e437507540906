package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// putOff moves a job into the stream of what comes later, where the server's own
// schedule brings it back at the time named; one that has passed means at once.
func (d *delivery) putOff(until time.Time) {
	b := d.w.broker
	ctx, done := d.bookkeeping()
	defer done()
	seq, err := b.Publish(ctx, b.PutOff(d.at, until, d.env, d.data, d.origin()))
	if err == nil {
		err = d.withdrawIfEnded(ctx, seq)
	}
	if err != nil {
		d.giveBack(unavailablePause(d.deliveries()), "put it off", err)
		return
	}
	d.ack()
}

// withdrawIfEnded takes a schedule back if the job was cancelled while it was put off:
// whoever cancelled it may have looked before the schedule was there.
func (d *delivery) withdrawIfEnded(ctx context.Context, seq uint64) error {
	s, err := d.standing()
	if err != nil || s.Record == nil {
		return err
	}
	return d.w.broker.Delete(ctx, d.w.broker.Later(), seq)
}

// moveDue puts a job whose time has come into its lane. "Already queued" is no success
// here: the message that is there may be about to be acked.
func (d *delivery) moveDue(s stream.Standing) {
	if s.Record != nil {
		d.ack()
		return
	}
	if err := d.mayMove(); err != nil {
		d.w.log.Debug("a job whose time has come is left to a worker that may move it", "id", d.at.ID, "queue", d.at.Queue, "err", err)
		d.back(d.shared())
		return
	}
	ctx, done := d.bookkeeping()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, task.MaxSkew/5)
	defer cancel()
	switch _, err := d.w.broker.Publish(ctx, d.w.broker.Put(d.env, d.at.Owner, d.data, d.origin())); {
	case err == nil:
		d.ack()
	case errors.Is(err, stream.ErrExists):
		d.back(min(time.Duration(d.deliveries())*100*time.Millisecond, 5*time.Second))
	default:
		d.giveBack(unavailablePause(d.deliveries()), "move it to its lane", err)
	}
}

// shared is after what pause a job whose time has come goes to another worker.
func (d *delivery) shared() time.Duration {
	return min(time.Duration(d.deliveries())*50*time.Millisecond, time.Second)
}

// mayMove says whether this worker's word counts in the job's queue: all workers share the
// stream of what comes later, whatever their queues are.
func (d *delivery) mayMove() error {
	keys := task.KeysOf(d.w.cfg.Trust)
	if keys == nil {
		return nil
	}
	return keys.MayQueue(d.w.cfg.Signer, d.at.Queue)
}

// now is the server's time, for decisions.
func (d *delivery) now() time.Time { return d.w.broker.SureNow(d.w.books) }

// due is since when the job could have run, by the server's clock.
func (d *delivery) due() time.Time {
	if d.claim != nil && !d.claim.Due.IsZero() {
		return d.claim.Due
	}
	return d.stored
}
