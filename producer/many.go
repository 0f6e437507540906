package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/nats-io/nats.go"

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
	if c.cfg.Gateway {
		return enqueueEach(ctx, c, calls)
	}
	envelopes, err := sealAll(ctx, c, calls)
	if err != nil {
		return nil, err
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

// sealAll checks all calls, on all processors if they are many: nothing can be sent
// meanwhile. A hook is asked in order, one call at a time.
func sealAll[Out any](ctx context.Context, c *Client, calls []task.Call[Out]) ([]*task.Envelope, error) {
	envelopes := make([]*task.Envelope, len(calls))
	by := c.sealing(ctx)
	parts := 1
	if c.cfg.Before == nil && len(calls) >= window {
		parts = runtime.GOMAXPROCS(0)
	}
	errs := make([]error, parts)
	var sealing sync.WaitGroup
	for p := range parts {
		sealing.Go(func() {
			for i := p * len(calls) / parts; i < (p+1)*len(calls)/parts; i++ {
				e, err := c.seal(ctx, calls[i].Spec(), by)
				if err != nil {
					errs[p] = fmt.Errorf("%w (call %d of %d; nothing was queued)", err, i+1, len(calls))
					return
				}
				envelopes[i] = e
			}
		})
	}
	sealing.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return envelopes, nil
}

func (c *Client) enqueueAll(ctx context.Context, all []*task.Envelope) ([]*handle, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := c.admit(ctx, all...); err != nil {
		return nil, err
	}
	handles := make([]*handle, len(all))
	for i, e := range all {
		handles[i] = c.handleOf(e)
	}
	errs := c.send(ctx, all, handles)
	var refused []error
	missing := make(map[string]error)
	for i, e := range all {
		err := errs[i]
		switch {
		case errors.Is(err, stream.ErrNoStream) && missing[e.Queue] != nil:
			err = missing[e.Queue]
		case errors.Is(err, stream.ErrNoStream) && ctx.Err() != nil:
			err = fmt.Errorf("producer: job %s: %w: %w", task.Quote(e.ID), err, context.Cause(ctx))
		case errors.Is(err, stream.ErrNoAnswer), errors.Is(err, stream.ErrNoStream), errors.Is(err, stream.ErrExists):
			err = c.publish(ctx, e, e.Encode())
			if errors.Is(err, ErrNoSuchQueue) {
				missing[e.Queue] = err
			}
		case !errors.Is(err, errUnsent):
			err = c.answer(err, e.Queue, e.ID)
		}
		handles[i].queued = err == nil
		if err != nil {
			if !errors.Is(err, ErrUnknown) {
				handles[i] = nil
			}
			refused = append(refused, fmt.Errorf("call %d: %w", i+1, err))
		}
	}
	return handles, joined(refused)
}

var errUnsent = errors.New("nothing was sent")

// send publishes all, a window at a time, and returns what came of each.
func (c *Client) send(ctx context.Context, all []*task.Envelope, handles []*handle) []error {
	errs := make([]error, len(all))
	slots := make(chan struct{}, window)
	var flying sync.WaitGroup
	var signed []*nats.Msg // those that come next, if they are signed
	for i := range all {
		if c.broker.Signs() && i%window == 0 {
			signed = c.messages(all[i:min(i+window, len(all))], handles[i:])
		}
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
		flying.Add(1)
		var m *nats.Msg
		if signed != nil {
			m = signed[i%window]
		} else {
			m = c.message(all[i], handles[i].owner)
		}
		c.broker.PublishAsync(m, func(_ uint64, err error) {
			errs[i] = err
			<-slots
			flying.Done()
		})
	}
	flying.Wait()
	return errs
}

// messages signs on all processors: it takes longer than all else.
func (c *Client) messages(all []*task.Envelope, handles []*handle) []*nats.Msg {
	msgs := make([]*nats.Msg, len(all))
	parts := min(runtime.GOMAXPROCS(0), len(all))
	var signing sync.WaitGroup
	for p := range parts {
		signing.Go(func() {
			for i := p * len(all) / parts; i < (p+1)*len(all)/parts; i++ {
				msgs[i] = c.message(all[i], handles[i].owner)
			}
		})
	}
	signing.Wait()
	return msgs
}

// joined makes one error of many that can be read.
func joined(errs []error) error {
	const most = 10
	if len(errs) <= most {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs[:most:most], fmt.Errorf("and %d more were not queued, the last: %w", len(errs)-most, errs[len(errs)-1]))...)
}
