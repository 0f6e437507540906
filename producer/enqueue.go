package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Enqueuer is where a call can be queued: a *[Client] queues it at once, a *[Tx] at its
// Commit, what [Within] returns once the job that runs has succeeded.
type Enqueuer interface {
	enqueue(ctx context.Context, call task.Spec) (*handle, error)
}

// Enqueue queues a call for the user of ctx, see [task.WithUser], and returns a handle
// once it is stored. With [ErrUnknown] it returns the handle too; with every other
// error nothing was queued and the handle is nil. A call whose ID is queued already is
// a success: the handle is that job's. Errors are those of the call, [ErrNoSuchQueue],
// [ErrNoSuchQuota], [ErrQueueFull], [ErrUnknown].
func Enqueue[Out any](ctx context.Context, q Enqueuer, call task.Call[Out]) (*Job[Out], error) {
	if q == nil {
		return nil, errors.New("producer: enqueuer: it is nil (give a Client, a Tx or Within(ctx))")
	}
	h, err := q.enqueue(ctx, call.Spec())
	if h == nil {
		return nil, err
	}
	return &Job[Out]{h}, err
}

// EnqueueSpec is the raw twin of [Enqueue], for calls whose types this program does not
// know.
func (c *Client) EnqueueSpec(ctx context.Context, call task.Spec) (*Job[task.Raw], error) {
	return Enqueue(ctx, c, task.CallOf[task.Raw](call))
}

// EnqueueSpec is the raw twin of [Enqueue] on a Tx.
func (tx *Tx) EnqueueSpec(ctx context.Context, call task.Spec) (*Job[task.Raw], error) {
	return Enqueue(ctx, tx, task.CallOf[task.Raw](call))
}

func (c *Client) enqueue(ctx context.Context, call task.Spec) (*handle, error) {
	if c.cfg.Gateway {
		return c.askGateway(ctx, call)
	}
	e, err := c.seal(ctx, call, c.sealing(ctx))
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := c.admit(ctx, e); err != nil {
		return nil, err
	}
	return c.store(ctx, e)
}

// store queues one job. With ErrUnknown it returns the handle too.
func (c *Client) store(ctx context.Context, e *task.Envelope) (*handle, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("producer: job %s: nothing was sent: %w", task.Quote(e.ID), context.Cause(ctx))
	}
	h := c.handleOf(e)
	err := c.publish(ctx, e, e.Encode())
	switch {
	case err == nil:
		h.queued = true
		return h, nil
	case errors.Is(err, ErrUnknown):
		return h, err
	}
	return nil, err
}

func (c *Client) sealing(ctx context.Context) task.Sealing {
	by := task.Sealing{Installation: c.broker.Installation(), User: task.UserFrom(ctx), Now: c.broker.SureNow(ctx)}
	if a := task.AttemptFrom(ctx); a != nil {
		by.Parent = a.Job.ID
	}
	return by
}

// seal checks a call and asks Config.Before.
func (c *Client) seal(ctx context.Context, call task.Spec, by task.Sealing) (*task.Envelope, error) {
	e, err := call.Seal(by)
	if err != nil {
		return nil, tell("", err)
	}
	if c.cfg.Before == nil {
		return e, nil
	}
	if err := c.cfg.Before(ctx, call); err != nil {
		return nil, fmt.Errorf("producer: %s: refused by Config.Before: %w", e.Task, err)
	}
	return e, nil
}

// admit checks whether workers would believe the jobs, as far as this client knows, and what only the server knows: the
// quotas and the lengths of queues.
func (c *Client) admit(ctx context.Context, all ...*task.Envelope) error {
	counts := make(map[string]int)
	keys := task.KeysOf(c.cfg.Trust)
	for _, e := range all {
		if keys != nil {
			// While the file of keys is gone workers decide: they keep the job until it is back.
			if err := keys.MayQueueAs(c.cfg.Signer, e.User, e.Queue); err != nil && !errors.Is(err, task.ErrNoKeys) {
				return fmt.Errorf("producer: job %s: %w", task.Quote(e.ID), err)
			}
		}
		if err := c.checkQuota(ctx, lane{e.Queue, e.Lane}); err != nil {
			return err
		}
		counts[e.Queue]++
	}
	for queue, n := range counts {
		if err := c.checkPending(ctx, queue, n); err != nil {
			return err
		}
	}
	return nil
}

// message is a job as it is published.
func (c *Client) message(e *task.Envelope, owner string) *nats.Msg {
	return c.broker.JobMessage(e, owner, e.Encode(), "")
}

// publish stores one job. What is sent for long is signed anew: workers refuse what was
// signed long before it was stored.
func (c *Client) publish(ctx context.Context, e *task.Envelope, body []byte) error {
	owner := e.User.Owner()
	for {
		once, cancel := context.WithTimeout(ctx, task.MaxSkew/5)
		_, err := c.broker.Publish(once, c.broker.JobMessage(e, owner, body, ""))
		cancel()
		switch {
		case errors.Is(err, stream.ErrNoAnswer) && ctx.Err() == nil:
			continue
		case !errors.Is(err, stream.ErrNoStream):
			return c.answer(err, e.Queue, e.ID)
		}
		if missing := c.checkDeclared(ctx, e.Queue); missing != nil {
			return missing
		}
		if ctx.Err() != nil {
			return c.answer(fmt.Errorf("%w: %w", stream.ErrNoAnswer, err), e.Queue, e.ID)
		}
	}
}

// answer says what the answer to the publish of a job means.
func (c *Client) answer(err error, queue, id string) error {
	switch {
	case err == nil, errors.Is(err, stream.ErrExists):
		return nil
	case errors.Is(err, stream.ErrFull):
		return fmt.Errorf("producer: queue %s: %w: %w", task.Quote(queue), ErrQueueFull, err)
	case errors.Is(err, stream.ErrNoAnswer):
		return fmt.Errorf("producer: job %s: %w (queue it again with the same ID): %w", task.Quote(id), ErrUnknown, err)
	}
	return tell("queue job "+task.Quote(id), err)
}

// checkDeclared is ErrNoSuchQueue if one of the queues is not there, or if this login may
// not ask. It is nil if nobody answers: then it is the stream that is away.
func (c *Client) checkDeclared(ctx context.Context, queues ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	there, err := c.broker.Queues(ctx)
	if errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("producer: queue %q: %w (declare it with Config.Queues, or with \"natsasync init\")", queues, ErrNoSuchQueue)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("producer: queue %q: %w: the streams are gone (make them again with \"natsasync init\")", queues, ErrNoSuchQueue)
	}
	if err != nil {
		return nil
	}
	for _, queue := range queues {
		if !slices.Contains(there, queue) {
			return fmt.Errorf("producer: queue %s: %w; there are %q (declare it with Config.Queues, or with \"natsasync init\")", task.Quote(queue), ErrNoSuchQueue, there)
		}
	}
	return nil
}
