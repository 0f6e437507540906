package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// continueAs hands env over to another call and waits for its outcome, which becomes
// that of env. The claim that names the call comes first: a crash after it does not run
// the function again.
func (d *delivery) continueAs(env *task.Envelope, spec task.Spec, a attempted) (*task.Record, *stop) {
	next, err := spec.Seal(task.Sealing{
		Installation: d.w.broker.Installation(), Parent: env.ID, User: env.User, Queue: d.env.Queue, Now: d.w.broker.Now(),
	})
	if err != nil {
		return d.failed(env, fmt.Errorf("continue: %w", err), a.Job.Attempt), nil
	}
	return d.awaitContinued(env, next, next.Encode(), a.staged.take(), a)
}

// continues says whether the standing claim names a call that id has continued as.
func (d *delivery) continues(id string) bool {
	return d.claim != nil && d.claim.Continued != nil && d.claim.Member == id
}

func (d *delivery) resumeContinued(env *task.Envelope) (*task.Record, *stop) {
	next, err := task.DecodeEnvelope(d.claim.Continued)
	if err != nil {
		return d.failed(env, fmt.Errorf("continue: %w", err), 1), nil
	}
	if !d.owns(next) {
		return d.failed(env, fmt.Errorf("continue: %s does not belong to it: %w", next.ID, task.ErrUnauthorized), 1), nil
	}
	return d.awaitContinued(env, next, d.claim.Continued, d.claim.Queues, attempted{})
}

// owns says whether e is of the user and the queue of this job, as all is that its own
// records name to be queued or cancelled there.
func (d *delivery) owns(e *task.Envelope) bool { return e.Queue == d.at.Queue && e.User == d.env.User }

func (d *delivery) awaitContinued(env, next *task.Envelope, body []byte, queues [][]byte, a attempted) (*task.Record, *stop) {
	ended, s := d.park(waiting{
		ids: []string{next.ID}, member: env.ID, continued: body, queues: queues,
		queue: func(ctx context.Context, _ map[string]bool) error { return d.queue(ctx, next, body) },
	})
	if s != nil {
		return nil, s
	}
	theirs := ended[next.ID]
	rec := d.outcome(env, theirs.End, a)
	rec.Value, rec.Failure, rec.Mode, rec.Members = theirs.Value, theirs.Failure, theirs.Mode, theirs.Members
	if theirs.End == task.Cancelled {
		rec.End = task.Failed
		rec.Failure = task.FailureOf(fmt.Errorf("the job that it continued as: %w", task.ErrCancelled))
	}
	if rec.End == task.Succeeded {
		rec.Queues = queues
	}
	return rec, nil
}

// runLateCallback waits for the outcome of the job that the callback was added to, and
// runs if that is the end it waits for. Otherwise it ends cancelled, silently.
func (d *delivery) runLateCallback() {
	rec, err := d.preceding(d.env)
	if err != nil {
		d.stopPutBack("read the outcome that it follows", err).do(d)
		return
	}
	if rec == nil {
		there, err := d.isQueued(d.env.After)
		if err != nil {
			d.stopPutBack("look for the job that it follows", err).do(d)
			return
		}
		if !there {
			if rec, err = d.preceding(d.env); err == nil && rec == nil {
				d.settle(d.failed(d.env, fmt.Errorf("%s, which it follows: %w", d.env.After, task.ErrNoSuchJob), 1))
				return
			}
		}
	}
	if rec == nil {
		if _, s := d.park(waiting{ids: []string{d.env.After}}); s != nil {
			s.do(d)
			return
		}
		if rec, err = d.preceding(d.env); err != nil || rec == nil {
			d.stopPutBack("read the outcome that it follows", err).do(d)
			return
		}
	}
	if !d.env.When.Runs(rec.End) {
		d.settle(d.outcome(d.env, task.Cancelled, attempted{}))
		return
	}
	if s := d.goOn(); s != nil {
		s.do(d)
		return
	}
	d.conclude(d.perform(d.env, rec))
}

// isQueued says whether a job, or the whole job that a member belongs to, lies anywhere,
// read in the order in which a job moves.
func (d *delivery) isQueued(id string) (bool, error) {
	ctx, done := d.bookkeeping()
	defer done()
	b, q, o, root := d.w.broker, d.at.Queue, d.at.Owner, task.RootID(id)
	for _, place := range [...]struct{ stream, subject string }{
		{b.Jobs(), b.Job(q, stream.LaneLater, o, root)},
		{b.Later(), b.LaterJob(q, o, root)},
		{b.Later(), b.DueJob(q, o, root)},
	} {
		m, err := b.Last(ctx, place.stream, place.subject)
		if err != nil || m != nil {
			return m != nil, err
		}
	}
	for _, id := range [...]string{root, id} {
		m, wrong, err := b.LastJob(ctx, q, o, id)
		if errors.Is(wrong, task.ErrNoKeys) {
			err = wrong
		}
		if err != nil || m != nil && wrong == nil {
			return err == nil, err
		}
	}
	return false, nil
}
