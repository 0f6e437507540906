package producer

import (
	"context"
	"iter"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Queue is a named queue, to look at and to steer. Methods that steer need the right to
// change consumers, and SetQuota to update streams.
type Queue struct {
	client *Client
	name   string
	tx     *Tx
}

// Quota is a named limit of a queue.
type Quota struct {
	Name    string
	Size    int       // how many jobs may hold it at once
	Active  int       // how many hold it
	Pending int       // how many wait for it
	Paused  time.Time // until when it hands out nothing, zero if it is not paused
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// Len returns how many jobs of the queue have not started, scheduled ones too and
// callbacks not. From [Tx.Queue] it counts what is staged as well.
func (q *Queue) Len(ctx context.Context) (int, error) {
	if err := checkQueue(q.name); err != nil {
		return 0, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	n, err := q.client.length(ctx, q.name)
	if err == nil && q.tx != nil {
		n += q.tx.count(q.name)
	}
	return n, err
}

// length is what no lane has handed out, and what waits for its time.
func (c *Client) length(ctx context.Context, queue string) (int, error) {
	lanes, err := c.lanes(ctx, queue)
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, l := range lanes {
		if l.Name == stream.LaneSystem {
			continue
		}
		waiting, err := c.broker.Waiting(ctx, l)
		if err != nil {
			return 0, tell("count the jobs of queue "+task.Quote(queue), err)
		}
		n += waiting
	}
	moving, err := c.unmoved(ctx, queue)
	if err != nil {
		return 0, tell("count the jobs of queue "+task.Quote(queue), err)
	}
	scheduled, err := c.scheduled(ctx, queue)
	return int(n + moving + scheduled), err
}

// scheduled is how many jobs workers have put off.
func (c *Client) scheduled(ctx context.Context, queue string) (uint64, error) {
	var n uint64
	for _, filter := range [...]string{c.broker.LaterJob(queue, "*", ">"), c.broker.DueJob(queue, "*", ">")} {
		some, err := c.broker.Count(ctx, c.broker.Later(), filter)
		if err != nil {
			return 0, tell("count the jobs of queue "+task.Quote(queue), err)
		}
		n += some
	}
	return n, nil
}

// unmoved is how many jobs for later no worker has moved yet. One that moves lies in both
// places for a moment; where hundreds move at once some may be counted twice.
func (c *Client) unmoved(ctx context.Context, queue string) (uint64, error) {
	const most = 200
	var n uint64
	var schedules []string
	for m, err := range c.broker.Range(ctx, c.broker.Jobs(), c.broker.LaneFilter(queue, stream.LaneLater), 1) {
		if err != nil {
			return 0, err
		}
		if n++; n > most {
			return c.broker.Count(ctx, c.broker.Jobs(), c.broker.LaneFilter(queue, stream.LaneLater))
		}
		if at, ok := c.broker.ParseJob(m.Subject); ok {
			schedules = append(schedules, c.broker.LaterJob(at.Queue, at.Owner, at.ID))
		}
	}
	if n == 0 {
		return 0, nil
	}
	moved, err := c.broker.LastEach(ctx, c.broker.Later(), schedules)
	return n - uint64(len(moved)), err
}

// lanes returns the lanes of a queue that is declared.
func (c *Client) lanes(ctx context.Context, queue string) ([]stream.Lane, error) {
	lanes, err := c.broker.Lanes(ctx, queue)
	if err != nil {
		return nil, tell("look at queue "+task.Quote(queue), err)
	}
	if len(lanes) == 0 {
		return nil, c.checkDeclared(ctx, queue)
	}
	return lanes, nil
}

// Quotas returns the queue's quotas, sorted by name.
func (q *Queue) Quotas(ctx context.Context) ([]Quota, error) {
	if err := checkQueue(q.name); err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	lanes, err := q.client.lanes(ctx, q.name)
	if err != nil {
		return nil, err
	}
	var quotas []Quota
	for _, l := range lanes {
		if l.Name == stream.LaneFree || l.Name == stream.LaneSystem {
			continue
		}
		waiting, err := q.client.broker.Waiting(ctx, l)
		if err != nil {
			return nil, tell("count the jobs of queue "+task.Quote(q.name), err)
		}
		quota := Quota{Name: l.Name, Size: l.Size, Active: l.Info.NumAckPending, Pending: int(waiting)}
		if l.Info.Paused && l.Info.Config.PauseUntil != nil {
			quota.Paused = *l.Info.Config.PauseUntil
		}
		quotas = append(quotas, quota)
	}
	return quotas, nil
}

// SetQuota makes a quota or changes its size, 1 to 100,000, at once and while jobs run:
// what runs goes on. Size 0 removes a quota that holds no jobs; "default" stays.
func (q *Queue) SetQuota(ctx context.Context, name string, size int) error {
	return q.steer(ctx, func(ctx context.Context, b *stream.Broker) error { return b.SetQuota(ctx, q.name, name, size) })
}

// Pause lets no job of the queue start until then; what runs goes on, and so do
// callbacks.
func (q *Queue) Pause(ctx context.Context, until time.Time) error {
	return q.steer(ctx, func(ctx context.Context, b *stream.Broker) error { return b.Pause(ctx, q.name, until) })
}

// Resume ends a pause at once.
func (q *Queue) Resume(ctx context.Context) error {
	return q.steer(ctx, func(ctx context.Context, b *stream.Broker) error { return b.Resume(ctx, q.name) })
}

func (q *Queue) steer(ctx context.Context, do func(context.Context, *stream.Broker) error) error {
	if err := checkQueue(q.name); err != nil {
		return err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return tell("", do(ctx, q.client.broker))
}

// Purge cancels every job of the queue that has not started, scheduled ones and those of
// paused quotas too, and returns how many. What starts meanwhile runs; what is queued
// meanwhile may be cancelled or not.
func (q *Queue) Purge(ctx context.Context) (int, error) {
	if err := checkQueue(q.name); err != nil {
		return 0, err
	}
	return q.client.purge(ctx, q.name)
}

// Jobs yields the jobs of the queue that have not ended, in the order of the queue and
// scheduled ones last. What moves meanwhile may come twice or not at all. An error ends
// it.
func (q *Queue) Jobs(ctx context.Context, filter JobFilter) iter.Seq2[task.Status, error] {
	return func(yield func(task.Status, error) bool) {
		err := checkQueue(q.name)
		if err == nil {
			err = filter.check()
		}
		if err != nil {
			yield(task.Status{}, err)
			return
		}
		q.client.listJobs(ctx, q.name, filter, yield)
	}
}
