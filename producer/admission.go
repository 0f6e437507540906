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

type lane struct{ queue, name string }

// quotaSeen is how long a quota that was seen is taken to be there.
const quotaSeen = 10 * time.Second

// checkQuota looks for the lane of a quota; default and free are in every queue.
func (c *Client) checkQuota(ctx context.Context, l lane) error {
	if l.name == task.DefaultQuota || l.name == task.LaneFree || l.name == task.LaneCallbacks {
		return nil
	}
	c.mu.Lock()
	seen, ok := c.quotas[l]
	c.mu.Unlock()
	if ok && time.Since(seen) < quotaSeen {
		return nil
	}
	_, err := c.broker.Lane(ctx, l.queue, l.name)
	if errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("producer: quota %s of queue %s: %w that this login may see: it may not list quotas (use the default quota or none, or give it the right): %w",
			task.Quote(l.name), task.Quote(l.queue), ErrNoSuchQuota, err)
	}
	if err != nil {
		return tell("", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotas[l] = time.Now()
	return nil
}

// pending is how many jobs of a queue wait, as last read. Reading takes as long as the server does: mine has room for
// the one call that may, so that others can stop waiting for it.
type pending struct {
	mine chan struct{}
	n    int
	read time.Time
}

func (c *Client) checkPending(ctx context.Context, queue string, more int) error {
	if c.cfg.MaxPending == 0 {
		return nil
	}
	c.mu.Lock()
	p := c.pending[queue]
	if p == nil {
		p = &pending{mine: make(chan struct{}, 1)}
		c.pending[queue] = p
	}
	c.mu.Unlock()
	select {
	case p.mine <- struct{}{}:
		defer func() { <-p.mine }()
	case <-ctx.Done():
		return fmt.Errorf("producer: count the jobs of queue %s: another call waits for the answer: %w", task.Quote(queue), context.Cause(ctx))
	}
	if time.Since(p.read) > time.Second {
		n, err := c.backlog(ctx, queue)
		if err != nil {
			c.mu.Lock()
			delete(c.pending, queue) // there may be no such queue, and names are many
			c.mu.Unlock()
			return err
		}
		p.n, p.read = n, time.Now()
	}
	if p.n+more > c.cfg.MaxPending {
		return fmt.Errorf("producer: queue %s: %w: %d jobs wait, Config.MaxPending is %d", task.Quote(queue), ErrQueueFull, p.n, c.cfg.MaxPending)
	}
	return nil
}

// backlog is what [Queue.Len] says, for who may read no job: the lanes' own numbers lag a moment behind the publishers,
// and a job that a worker is putting off counts twice.
func (c *Client) backlog(ctx context.Context, queue string) (int, error) {
	n, err := c.scheduled(ctx, queue)
	if err != nil {
		return 0, err
	}
	lanes, err := c.lanes(ctx, queue)
	if err != nil {
		return 0, err
	}
	for _, l := range lanes {
		if l.Name != stream.LaneSystem {
			n += l.Info.NumPending
		}
	}
	unmoved, err := c.broker.Count(ctx, c.broker.Jobs(), c.broker.LaneFilter(queue, stream.LaneLater))
	if err != nil {
		return 0, tell("count the jobs of queue "+task.Quote(queue), err)
	}
	return int(n + unmoved), nil
}

// checkMayCount finds out whether this login may count jobs: if not, it could queue none.
func (c *Client) checkMayCount(ctx context.Context) error {
	if c.cfg.MaxPending == 0 {
		return nil
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	_, err := c.backlog(ctx, task.DefaultQueue)
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("producer: max pending \"%d\": this login may not count the jobs of a queue, as one for all users and a gateway may (give it the right, or leave MaxPending out): %w",
			c.cfg.MaxPending, err)
	case errors.Is(err, ErrNoSuchQueue):
		return nil
	}
	return err
}
