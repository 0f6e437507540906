package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// lookAgain is how often a waiter reads the stream although it heard nothing: what the
// server repeats is not stored and may be missed.
const lookAgain = 5 * time.Second

// What a job queues is there soon after its outcome: a job that is nowhere is looked for
// again before there is none.
const (
	lookSoon  = 100 * time.Millisecond
	soonLimit = time.Second
)

func (h *handle) wait(ctx context.Context) (r *task.Record, err error) {
	if err := h.live(); err != nil {
		return nil, err
	}
	a := task.AttemptFrom(ctx)
	if a == nil {
		return h.awaitAll(ctx)
	}
	r, err = h.client.broker.ReadOutcome(ctx, h.queue, h.owner, h.id)
	if err != nil {
		return nil, tell("", err)
	}
	if r != nil && !r.Callbacks {
		return r, nil
	}
	if err := h.checkDeadlock(ctx, a, r != nil); err != nil {
		return nil, err
	}
	if a.Host == nil {
		return h.awaitAll(ctx)
	}
	resume := a.Yield()
	r, err = h.awaitAll(ctx)
	if again := resume(ctx); again != nil && err == nil {
		return nil, fmt.Errorf("producer: job %s: go on after waiting: %w", task.Quote(h.id), again)
	}
	return r, err
}

// checkDeadlock refuses to wait for what cannot start before the waiting job ends.
func (h *handle) checkDeadlock(ctx context.Context, a *task.Attempt, ended bool) error {
	if task.RootID(h.id) == task.RootID(a.Job.ID) {
		return fmt.Errorf("producer: job %s: %w: it waits for itself", task.Quote(h.id), ErrDeadlock)
	}
	if ended || !a.Limited {
		return nil
	}
	queue, lane := h.queue, h.lane
	if lane == "" {
		st, err := h.client.statusOf(ctx, h.queue, h.owner, task.RootID(h.id))
		if errors.Is(err, nats.ErrPermissionViolation) {
			return nil
		}
		if err != nil {
			return err
		}
		queue, lane = st.Queue, st.Quota
	}
	if queue == a.Job.Queue && lane == a.Lane {
		return fmt.Errorf("producer: job %s: %w: lane %s of queue %s is held by job %s, which waits for it (queue it in another lane, or return task.Continue)",
			task.Quote(h.id), ErrDeadlock, task.Quote(lane), task.Quote(queue), task.Quote(a.Job.ID))
	}
	return nil
}

// awaitAll waits for the job's outcome and then for that of its callbacks.
func (h *handle) awaitAll(ctx context.Context) (*task.Record, error) {
	r, err := h.client.await(ctx, h.queue, h.owner, h.id, h.stored())
	if err != nil || !r.Callbacks {
		return r, err
	}
	if _, err := h.client.await(ctx, r.Queue, r.User.Owner(), task.CallbacksID(h.id), true); err != nil {
		return nil, err
	}
	return r, nil
}

// await waits for one outcome. known says that there is such a job; otherwise one that
// is nowhere ends it.
func (c *Client) await(ctx context.Context, queue, owner, id string, known bool) (*task.Record, error) {
	heard := make(chan struct{}, 1)
	sub, err := c.broker.Conn().Subscribe(c.broker.Record(queue, "*", owner, id), func(msg *nats.Msg) {
		if at, ok := c.broker.ParseOutcome(msg.Subject); !ok || at.Kind == stream.KindClaimed {
			return
		}
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, tell("wait for job "+task.Quote(id), err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	changes := c.broker.Conn().StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer c.broker.Conn().RemoveStatusListener(changes)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	began := time.Now()
	for {
		var soon <-chan time.Time
		r, err := c.broker.ReadOutcome(ctx, queue, owner, id)
		if err != nil {
			return nil, tell("wait for job "+task.Quote(id), err)
		}
		if r != nil {
			return r, nil
		}
		if !known {
			err := c.exists(ctx, queue, owner, id)
			switch {
			case errors.Is(err, ErrNoSuchJob) && time.Since(began) < soonLimit:
				soon = time.After(lookSoon)
			case err != nil:
				return nil, err
			}
		}
		select {
		case <-heard:
		case <-soon:
		case <-changes:
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("producer: wait for job %s: %w", task.Quote(id), context.Cause(ctx))
		}
	}
}

// exists is ErrNoSuchJob for a job that is nowhere. Whoever may not look there waits on.
func (c *Client) exists(ctx context.Context, queue, owner, id string) error {
	_, err := c.statusOf(ctx, queue, owner, id)
	if errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	return err
}
