package producer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// purging is how many jobs are cancelled at once.
const purging = 32

func (c *Client) purge(ctx context.Context, queue string) (int, error) {
	lanes, err := c.handedOut(ctx, queue)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		running   sync.WaitGroup
		slots     = make(chan struct{}, purging)
		cancelled atomic.Int64
	)
	for p, err := range c.places(ctx, queue, "*") {
		if err != nil {
			stop(err)
		}
		if ctx.Err() != nil {
			break
		}
		if p.Lane == stream.LaneCallbacks {
			continue
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			done, err := c.purgeJob(ctx, p, p.later || c.waits(p, lanes)) // who moves a job does not start it
			if err != nil {
				stop(err)
			}
			if done {
				cancelled.Add(1)
			}
		})
	}
	running.Wait()
	n := int(cancelled.Load())
	if err := context.Cause(ctx); err != nil {
		return n, fmt.Errorf("producer: purge queue %s: %d jobs were cancelled: %w", task.Quote(queue), n, err)
	}
	return n, nil
}

// purgeJob cancels a job unless it has started or ended.
func (c *Client) purgeJob(ctx context.Context, p *place, waits bool) (bool, error) {
	if p.envelope == nil {
		return false, nil
	}
	s := stream.Standing{}
	for first := true; ; first = false {
		if !waits || !first {
			var err error
			if s, err = c.broker.Standing(ctx, p.Queue, p.Owner, p.ID); err != nil {
				return false, err
			}
			unknown := s.Claim != nil && s.Claim.State == task.ClaimUnknown
			if s.Record != nil || s.Claim != nil && !unknown || !waits && !unknown {
				return false, nil
			}
		}
		err := c.recordCancelled(ctx, p, s)
		switch {
		case err == nil:
			c.sweep(ctx, p, true)
			return true, nil
		case !again(err):
			return false, err
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
}
