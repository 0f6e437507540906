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

// A job that was queued is looked for on its way too, if nothing was heard of it: it may have
// been put aside. It is missing if it was nowhere twice.
const (
	missingFirst = 2 * lookAgain
	missingLater = 6 * lookAgain
)

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
	r, err = h.record(ctx)
	if err != nil || r != nil && !r.Callbacks {
		return r, err
	}
	if err := h.checkDeadlock(ctx, a, r != nil); err != nil {
		return nil, err
	}
	if a.Host == nil {
		return h.awaitAll(ctx)
	}
	resume := a.Yield()
	r, err = h.awaitAll(ctx)
	if again := resume(); again != nil && err == nil {
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
		st, err := h.outer().status(ctx)
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
	r, err := h.await(ctx)
	if err != nil || !r.Callbacks {
		return r, err
	}
	callbacks := &handle{client: h.client, id: task.CallbacksID(h.id), queue: r.Queue, owner: r.User.Owner(), queued: true, callbacks: true}
	if _, err := callbacks.await(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// await waits for one outcome. If it is not known that there is such a job, one that is
// nowhere ends it.
func (h *handle) await(ctx context.Context) (*task.Record, error) {
	c, id := h.client, h.id
	heard := make(chan struct{}, 1)
	sub, err := c.broker.Conn().Subscribe(c.broker.Record(h.queue, "*", h.owner, id), func(msg *nats.Msg) {
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
	search, missing := began.Add(missingFirst), false
	for {
		var soon <-chan time.Time
		searched := h.queued && (task.Whole(id) || h.callbacks) && time.Now().After(search)
		r, err := h.look(ctx, searched)
		if searched {
			search = time.Now().Add(missingLater)
		}
		switch {
		case errors.Is(err, ErrNoSuchJob) && searched && !missing:
			missing = true
			search = time.Now()
			soon = time.After(soonLimit)
		case errors.Is(err, ErrNoSuchJob) && time.Since(began) < soonLimit:
			soon = time.After(lookSoon)
		case errors.Is(err, task.ErrNoKeys): // they come back, as a server does
			soon = time.After(soonLimit)
		case err != nil || r != nil:
			return r, err
		default:
			missing = false
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

// look reads the outcome, nil if there is none yet. It is ErrNoSuchJob for a job that is
// nowhere; whoever may not look there waits on. For one that was queued it looks there if
// it is to search.
func (h *handle) look(ctx context.Context, search bool) (*task.Record, error) {
	at, met, err := h.home(ctx)
	if err != nil {
		return nil, err
	}
	r, err := h.client.broker.ReadOutcome(ctx, at.Queue, at.Owner, h.id)
	if err != nil {
		return nil, tell("wait for job "+task.Quote(h.id), err)
	}
	if r != nil || met || h.stored() && !search {
		return r, nil
	}
	if h.callbacks {
		err = h.client.lookForCallbacks(ctx, at, h.id)
	} else {
		_, err = h.client.statusOf(ctx, at.Queue, at.Owner, h.id)
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		return nil, nil
	}
	return nil, err
}

// lookForCallbacks is ErrNoSuchJob if neither the callbacks of a job lie anywhere nor the job, whose worker would queue
// them again.
func (c *Client) lookForCallbacks(ctx context.Context, at stream.Home, id string) error {
	for _, id := range [...]string{id, task.RootID(id)} {
		if p, err := c.locate(ctx, at.Queue, at.Owner, id); err != nil || p != nil {
			return err
		}
	}
	return fmt.Errorf("producer: callbacks %s: %w: they are not queued any more and have not ended (see what was put aside: \"natsasync rejected ls\")", task.Quote(id), ErrNoSuchJob)
}
