package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// maxTaken is how long a job that follows tries to get a place that messages take which do not
// count: workers put these aside as they meet them.
const maxTaken = 10 * time.Second

var errTaken = errors.New("its ID is taken by a message that does not count")

// queue publishes a job that follows from this one until it is there. One that can never
// be published gets a failed outcome of its own, so that whoever waits for it learns of it.
func (d *delivery) queue(ctx context.Context, e *task.Envelope, body []byte) error {
	if ended, err := d.endedHere(ctx, e); err != nil || ended {
		return err
	}
	conn, began := d.w.broker.Conn(), time.Now()
	for {
		err := d.publish(ctx, e, body)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case conn.IsClosed():
			return errClosed
		case errors.Is(err, stream.ErrNoStream) && conn.IsConnected():
			return d.cannotQueue(ctx, e, err)
		case stream.Refused(err), errors.Is(err, errTaken) && time.Since(began) > maxTaken:
			return d.recordUnqueued(ctx, e, "not_queued", err)
		}
		d.w.log.WarnContext(ctx, "queue what follows; trying again", "id", e.ID, "queue", e.Queue, "err", err)
		stream.Sleep(ctx, time.Second)
	}
}

// publish tries once, signed anew: a signature is good for some minutes. "Already queued" is a
// success only if what lies there counts: whoever may publish there may have been first.
func (d *delivery) publish(ctx context.Context, e *task.Envelope, body []byte) error {
	once, cancel := context.WithTimeout(ctx, task.MaxSkew/5)
	defer cancel()
	m := d.w.broker.JobMessage(e, e.User.Owner(), body, d.origin())
	_, err := d.w.broker.Publish(once, m)
	if errors.Is(err, stream.ErrExists) {
		return d.counts(once, m.Subject)
	}
	return err
}

// counts says whether the job that lies on subject is one that workers will run, or has ended.
func (d *delivery) counts(ctx context.Context, subject string) error {
	b := d.w.broker
	m, err := b.Last(ctx, b.Jobs(), subject)
	if err != nil {
		return err
	}
	at, _ := b.ParseJob(subject)
	if m == nil {
		s, err := b.Standing(ctx, at.Queue, at.Owner, at.ID)
		if err == nil && s.Record == nil {
			err = errTaken // until just now
		}
		return err
	}
	there := &delivery{w: d.w, from: d.from, at: at, header: m.Header, data: m.Data, stored: m.Time}
	if there.proof, err = b.ProveJob(m); err == nil {
		_, err = there.open()
	}
	if err != nil && !errors.Is(err, task.ErrNoKeys) {
		err = fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

// endedHere says whether an earlier delivery found that e cannot be queued: its outcome is
// in this queue, where the worker of e would not see it.
func (d *delivery) endedHere(ctx context.Context, e *task.Envelope) (bool, error) {
	if e.Queue == d.at.Queue || d.deliveries() == 1 {
		return false, nil
	}
	s, err := d.w.broker.Standing(ctx, d.at.Queue, d.at.Owner, e.ID)
	return s.Record != nil, err
}

func (d *delivery) cannotQueue(ctx context.Context, e *task.Envelope, why error) error {
	queues, err := d.w.broker.Queues(ctx)
	if err != nil {
		return fmt.Errorf("queue job %s: %w", e.ID, errors.Join(why, err))
	}
	if slices.Contains(queues, e.Queue) {
		return fmt.Errorf("queue job %s: %w", e.ID, why)
	}
	return d.recordUnqueued(ctx, e, "no_such_queue", stream.ErrNoSuchQueue)
}

// recordUnqueued gives a job that can never be published a failed outcome, in this queue:
// a worker's key records in no other.
func (d *delivery) recordUnqueued(ctx context.Context, e *task.Envelope, code string, why error) error {
	d.w.log.WarnContext(ctx, "a job that follows from another cannot be queued", "id", e.ID, "queue", e.Queue, "err", why)
	failure := task.FailureOf(fmt.Errorf("queue %s: %w", e.Queue, why))
	failure.Code, failure.Task, failure.ID = code, e.Task, e.ID
	return d.w.end(ctx, &task.Record{Outcome: task.Outcome{
		ID: e.ID, Parent: e.Parent, Task: e.Task, Queue: d.at.Queue, Object: e.Object, User: e.User, End: task.Failed,
		Failure: failure, Queued: e.Issued, Ended: d.w.broker.Now(), Worker: d.w.cfg.Name,
	}})
}

// end records the outcome of a job that this worker does not run, unless it has one.
func (w *Worker) end(ctx context.Context, rec *task.Record) error {
	owner := rec.User.Owner()
	subject, fence := w.broker.Outcome(rec.Queue, string(rec.End), owner, rec.ID), w.broker.Fence(rec.Queue, owner, rec.ID)
	for {
		s, err := w.broker.Standing(ctx, rec.Queue, owner, rec.ID)
		if err != nil || s.Record != nil {
			return err
		}
		_, err = w.broker.Publish(ctx, w.broker.Fenced(subject, fence, s.Seq, rec.Encode()))
		if !errors.Is(err, stream.ErrFenced) && !errors.Is(err, stream.ErrUndecided) {
			return err
		}
		if !stream.Sleep(ctx, 5*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}
