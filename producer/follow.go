package producer

import (
	"context"
	"fmt"

	"github.com/natsasync/natsasync/task"
)

// OnSuccess adds a callback to a queued job, also to one that has ended: a job of its
// own, of the user of ctx, that takes the result once it is there. If the job does not
// succeed it ends cancelled, silently. Only the job's own user may add one, else it is
// [task.ErrUnauthorized]. A callback for a job whose Tx is not committed becomes part of
// that job. It works on the job's object unless it has one of its own, see
// [task.Definition.At].
func (j *Job[Out]) OnSuccess(ctx context.Context, f task.Follower[Out]) (*Job[task.Raw], error) {
	return j.h.follow(ctx, task.Follow(f, task.WhenSucceeded, task.TakeValue))
}

// OnFailure is [Job.OnSuccess] for a callback that takes the failure.
func (j *Job[Out]) OnFailure(ctx context.Context, f task.Follower[task.Failure]) (*Job[task.Raw], error) {
	return j.h.follow(ctx, task.Follow(f, task.WhenFailed, task.TakeFailure))
}

// OnDone is [Job.OnSuccess] for a callback that takes the outcome, success or failure.
func (j *Job[Out]) OnDone(ctx context.Context, f task.Follower[task.Outcome]) (*Job[task.Raw], error) {
	return j.h.follow(ctx, task.Follow(f, task.WhenDone, task.TakeOutcome))
}

func (h *handle) follow(ctx context.Context, callback task.Spec) (*Job[task.Raw], error) {
	if err := checkID(h.id); err != nil {
		return nil, err
	}
	if s := h.stage; s != nil && !s.visible() {
		return h.followStaged(ctx, s, callback)
	}
	if err := h.live(); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	at := h
	if !h.bound() {
		st, err := h.status(ctx)
		if err != nil {
			return nil, err
		}
		at = &handle{client: h.client, id: h.id, queue: st.Queue, owner: st.User.Owner(), object: st.Object}
	}
	if err := at.mayFollow(ctx); err != nil {
		return nil, err
	}
	e, err := at.sealFollower(ctx, callback)
	if err != nil {
		return nil, err
	}
	return raw(h.client.store(ctx, e))
}

// followStaged makes a callback part of a job that is not queued yet.
func (h *handle) followStaged(ctx context.Context, s *staging, callback task.Spec) (*Job[task.Raw], error) {
	if s.tx == nil {
		return nil, stagedWithin(h.id)
	}
	if err := h.mayFollow(ctx); err != nil {
		return nil, err
	}
	e, err := s.tx.follow(s, callback)
	if err != nil {
		return nil, err
	}
	added := h.client.handleOf(e)
	added.stage = &staging{tx: s.tx, envelope: e}
	return &Job[task.Raw]{added}, nil
}

func (h *handle) mayFollow(ctx context.Context) error {
	if user := task.UserFrom(ctx); user.Owner() != h.owner {
		return fmt.Errorf("producer: job %s: %w: %s did not queue it and cannot add callbacks", task.Quote(h.id), task.ErrUnauthorized, task.Quote(user.String()))
	}
	return nil
}

// sealFollower makes the envelope of a callback as a job of its own. It is checked, and
// takes the job's object, as one that is queued with a job.
func (h *handle) sealFollower(ctx context.Context, callback task.Spec) (*task.Envelope, error) {
	by := h.client.sealing(ctx)
	by.Queue = h.queue
	outer := task.Spec{Task: callback.Task, Object: h.object, Callbacks: []task.Spec{callback}}
	whole, err := outer.Seal(by)
	if err != nil {
		return nil, tell("", err)
	}
	e, err := task.DecodeEnvelope(whole.Callbacks[0])
	if err != nil {
		return nil, tell("", err)
	}
	if err := renew(e, e.ID, task.NewID(), by.Now); err != nil {
		return nil, tell("", err)
	}
	e.Parent, e.After, e.Lane = by.Parent, h.id, task.LaneCallbacks
	return e, nil
}
