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

// queue publishes a job that follows from this one until it is there. One that can never
// be published gets a failed outcome of its own, so that whoever waits for it learns of it.
//
// Each try is signed anew: a signature is good for some minutes.
func (d *delivery) queue(ctx context.Context, e *task.Envelope, body []byte) error {
	if ended, err := d.endedHere(ctx, e); err != nil || ended {
		return err
	}
	w, owner := d.w, e.User.Owner()
	for {
		once, cancel := context.WithTimeout(ctx, task.MaxSkew/5)
		_, err := w.broker.Publish(once, w.broker.JobMessage(e, owner, body, d.origin()))
		cancel()
		switch {
		case err == nil, errors.Is(err, stream.ErrExists):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case w.broker.Conn().IsClosed():
			return errClosed
		case errors.Is(err, stream.ErrNoStream) && w.broker.Conn().IsConnected():
			return d.cannotQueue(ctx, e, err)
		case stream.Refused(err):
			return d.recordUnqueued(ctx, e, "not_queued", err)
		}
		w.log.WarnContext(ctx, "queue what follows; trying again", "id", e.ID, "queue", e.Queue, "err", err)
		stream.Sleep(ctx, time.Second)
	}
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
