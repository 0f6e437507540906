package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// maxInterruptions is how often a job may be left behind by workers that died: one that
// kills its worker must not kill all of them. The original's figure.
const maxInterruptions = 10

// takeOver claims a job that was handed out before, over what was read. It says whether
// the job may run here now; if not, the delivery has ended.
func (d *delivery) takeOver() bool {
	before := d.claim
	next := task.Claim{State: task.ClaimRunning}
	if before != nil {
		if d.older(before) {
			d.leave(nil)
			return false
		}
		if before.State == task.ClaimRetrying {
			if left := before.NotBefore.Sub(d.now()); left > 0 {
				d.back(left)
				return false
			}
		}
		next = *before
		next.State, next.NotBefore, next.Seen, next.Parked = task.ClaimRunning, time.Time{}, time.Time{}, nil
		if before.State == task.ClaimRunning {
			next.Interruptions++
		}
	}
	if next.Interruptions >= maxInterruptions {
		d.w.log.Error("a job was interrupted too often", "id", d.env.ID, "task", d.env.Task, "interruptions", next.Interruptions)
		d.settle(d.failed(d.env, fmt.Errorf("%w: %d workers were gone while they ran it", task.ErrInterrupted, next.Interruptions), next.Attempts+1))
		return false
	}
	if next.Started.IsZero() {
		next.Started = d.w.broker.Now()
	}
	if err := d.writeClaim(next); err != nil {
		d.conclude(nil, d.stopOf(err))
		return false
	}
	return true
}

// older says whether this delivery came before the one that wrote c. A paused worker's
// open pull may receive the redelivery too, so a number alone tells which is the newer;
// a server that was killed takes its numbers back, and then the one in hand is. A claim
// of a later consumer is newer if that is this lane's, made again; those of other lanes,
// where a message of the same ID may lie, are in no order with it.
func (d *delivery) older(c *task.Claim) bool {
	d.mu.Lock()
	mine, number := d.created.Truncate(time.Microsecond), d.number
	d.mu.Unlock()
	theirs := c.Created
	if theirs.Before(mine) || theirs.Equal(mine) && c.Delivery <= number {
		return false
	}
	ctx, done := d.bookkeeping()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lane, err := d.w.broker.Lane(ctx, d.from.queue, d.from.lane)
	if err != nil {
		return true
	}
	if theirs.After(mine) {
		return lane.Created.Truncate(time.Microsecond).After(mine)
	}
	return lane.Info.Delivered.Consumer >= c.Delivery
}

// writeClaim records c as the job's last claim, under this delivery.
func (d *delivery) writeClaim(c task.Claim) error {
	d.mu.Lock()
	c.ID, c.Worker, c.Created, c.Delivery = d.at.ID, d.w.cfg.Name, d.created, d.number
	d.mu.Unlock()
	if c.Due.IsZero() {
		c.Due = d.stored
	}
	at := d.at
	at.Kind = stream.KindClaimed
	if err := d.record(at, c.Encode(), nil); err != nil {
		return err
	}
	d.claim = &c
	return nil
}

// amend returns the standing claim, or a new one, for writing another over it.
func (d *delivery) amend() task.Claim {
	if d.claim != nil {
		return *d.claim
	}
	return task.Claim{Started: d.w.broker.Now()}
}

// record writes one record under the job's fence, for as long as it takes: until its
// PubAck or a read says that it stands, or another's does. A claim and the job's own
// outcome move the fence, members' outcomes do not.
func (d *delivery) record(at stream.Subject, data []byte, header nats.Header) error {
	ctx, done := d.bookkeeping()
	defer done()
	subject := d.w.broker.Outcome(at.Queue, at.Kind, at.Owner, at.ID)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		seq, err := d.recordOnce(ctx, subject, data, header)
		if err == nil {
			d.advance(at, seq)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.w.broker.Conn().IsClosed() {
			return errClosed
		}
		stands, err := d.resolve(ctx, at, data, err)
		if err != nil || stands {
			return err
		}
		if !stream.Sleep(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

func (d *delivery) recordOnce(ctx context.Context, subject string, data []byte, header nats.Header) (uint64, error) {
	m := d.fenced(subject, data, header)
	type ack struct {
		seq uint64
		err error
	}
	acks := make(chan ack, 1)
	d.w.broker.PublishAsync(m, func(seq uint64, err error) { acks <- ack{seq, err} })
	select {
	case a := <-acks:
		return a.seq, a.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// fenced is a record as it is published. What header has is signed if it is the origin.
func (d *delivery) fenced(subject string, data []byte, header nats.Header) *nats.Msg {
	m := stream.Fenced(subject, d.fence, d.fenceSeq(), data)
	origin := ""
	for k, v := range header {
		m.Header[k] = v
		if k == task.HeaderOrigin {
			origin = v[0]
		}
	}
	d.w.broker.Sign(m, origin)
	return m
}

// resolve finds out what came of a write that was refused or not answered: whether it
// stands, or an error if another's record does. Neither means: write it again.
func (d *delivery) resolve(ctx context.Context, at stream.Subject, data []byte, why error) (stands bool, err error) {
	switch {
	case errors.Is(why, stream.ErrNoStream):
		d.w.missStreams()
	case errors.Is(why, stream.ErrFenced), errors.Is(why, stream.ErrUndecided), errors.Is(why, stream.ErrNoAnswer):
	default:
		d.w.log.Error("a record was refused; it is written again", "id", at.ID, "queue", at.Queue, "err", why)
		stream.Sleep(ctx, time.Second)
		return false, nil
	}
	written, err := d.w.broker.Last(ctx, d.w.broker.Outcomes(), d.w.broker.Fence(at.Queue, at.Owner, at.ID))
	if err != nil {
		return false, nil
	}
	if written != nil && bytes.Equal(written.Data, data) && d.w.broker.ReadStanding(written).Wrong == nil {
		d.advance(at, written.Seq)
		return true, nil
	}
	leased, err := d.w.broker.Standing(ctx, d.at.Queue, d.at.Owner, d.at.ID)
	if err != nil {
		return false, nil
	}
	return false, d.yieldTo(leased)
}

// yieldTo compares what stands of the job with the record that the fence expects. What
// cannot be read or proved counts for nothing and is written over, unless another's record
// came before it.
func (d *delivery) yieldTo(s stream.Standing) error {
	switch {
	case s.Seq == d.fenceSeq():
		return nil
	case s.Record != nil && s.Record.End == task.Cancelled:
		return task.ErrCancelled
	case s.Record != nil, s.Claim != nil && (s.Wrong == nil || !d.mine(s.Claim)):
		return errReassigned
	}
	d.setSeq(s.Seq)
	return nil
}

// advance moves the fence to a record that was written under the job's own ID.
func (d *delivery) advance(at stream.Subject, seq uint64) {
	if at.ID == d.at.ID {
		d.setSeq(seq)
	}
}
