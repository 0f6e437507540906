package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// window is how many jobs of EnqueueAll are on their way at once.
const window = 512

// EnqueueAll queues many calls, fast and one by one: it is not atomic, a [Tx] is. All
// are checked before any is sent; an error of a check is returned alone. The jobs have
// the places of their calls, nil for one that was refused, and the error joins what was
// refused. One whose answer did not come within ctx has its handle, and the error names
// it and is [ErrUnknown]. Those that are sent again lose their place in the order. Once
// ctx has ended it returns within 3 s.
func EnqueueAll[Out any](ctx context.Context, c *Client, calls []task.Call[Out]) ([]*Job[Out], error) {
	envelopes := make([]*task.Envelope, len(calls))
	by := c.sealing(ctx)
	for i, call := range calls {
		e, err := c.seal(ctx, call.Spec(), by)
		if err != nil {
			return nil, fmt.Errorf("%w (call %d of %d; nothing was queued)", err, i+1, len(calls))
		}
		envelopes[i] = e
	}
	handles, err := c.enqueueAll(ctx, envelopes)
	if handles == nil {
		return nil, err
	}
	jobs := make([]*Job[Out], len(handles))
	for i, h := range handles {
		if h != nil {
			jobs[i] = &Job[Out]{h}
		}
	}
	return jobs, err
}

func (c *Client) enqueueAll(ctx context.Context, all []*task.Envelope) ([]*handle, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := c.admit(ctx, all...); err != nil {
		return nil, err
	}
	errs := c.send(ctx, all)
	handles := make([]*handle, len(all))
	var refused []error
	for i, e := range all {
		err := errs[i]
		if errors.Is(err, stream.ErrNoAnswer) || errors.Is(err, stream.ErrNoStream) {
			err = c.publish(ctx, c.message(e), e.Queue, e.ID)
		} else if !errors.Is(err, errUnsent) {
			err = c.answer(err, e.Queue, e.ID)
		}
		if err == nil || errors.Is(err, ErrUnknown) {
			handles[i] = c.handleOf(e)
			handles[i].queued = err == nil
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("call %d: %w", i+1, err))
		}
	}
	return handles, joined(refused)
}

var errUnsent = errors.New("nothing was sent")

// send publishes all, a window at a time, and returns what came of each.
func (c *Client) send(ctx context.Context, all []*task.Envelope) []error {
	errs := make([]error, len(all))
	slots := make(chan struct{}, window)
	for i, e := range all {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			for j := i; j < len(all); j++ {
				errs[j] = fmt.Errorf("producer: job %s: %w: %w", task.Quote(all[j].ID), errUnsent, context.Cause(ctx))
			}
			break
		}
		c.broker.PublishAsync(c.message(e), func(_ uint64, err error) {
			errs[i] = err
			<-slots
		})
	}
	for range window {
		slots <- struct{}{}
	}
	return errs
}

// joined makes one error of many that can be read.
func joined(errs []error) error {
	const most = 10
	if len(errs) <= most {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs[:most:most], fmt.Errorf("and %d more were not queued, the last: %w", len(errs)-most, errs[len(errs)-1]))...)
}
