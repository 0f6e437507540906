package producer

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// JobFilter says which jobs to list. Zero values mean any.
type JobFilter struct {
	State  task.State
	Task   string
	User   *task.User  // a pointer, as the zero User is the anonymous one
	Object task.Object // this object and what lies under it
	Limit  int         // at most so many
}

func (f JobFilter) check() error {
	switch f.State {
	case "", task.StateScheduled, task.StatePending, task.StateActive, task.StateRetrying:
	default:
		return fmt.Errorf("producer: state %s: jobs of a queue are %q, %q, %q or %q (ask for Outcomes of those that have ended)", task.Quote(string(f.State)),
			task.StateScheduled, task.StatePending, task.StateActive, task.StateRetrying)
	}
	return checkFilter(f.Task, f.Object, f.Limit)
}

func checkFilter(name string, object task.Object, limit int) error {
	if name != "" && task.CheckName(name) != nil && name != task.SerialBatch && name != task.ParallelBatch {
		return tell("", task.CheckName(name))
	}
	if _, err := task.ParseObject(object.String()); err != nil {
		return tell("", err)
	}
	if limit < 0 {
		return fmt.Errorf(`producer: limit "%d": it must not be negative (0 is no limit)`, limit)
	}
	return nil
}

func (f JobFilter) takes(st task.Status) bool {
	return (f.State == "" || st.State == f.State) && (f.Task == "" || st.Task == f.Task) &&
		(f.User == nil || st.User == *f.User) && under(st.Object, f.Object)
}

// under says whether an object is the one wanted or lies under it.
func under(o, wanted task.Object) bool {
	return wanted == "" || o == wanted || strings.HasPrefix(o.String(), strings.TrimSuffix(wanted.String(), "/")+"/")
}

// listPage is how many jobs are looked up at once.
const listPage = 256

func (c *Client) listJobs(ctx context.Context, queue string, filter JobFilter, yield func(task.Status, error) bool) {
	lanes, err := c.handedOut(ctx, queue)
	if err != nil {
		yield(task.Status{}, err)
		return
	}
	owner := "*"
	if filter.User != nil {
		owner = filter.User.Owner()
	}
	left := filter.Limit
	flush := func(page []*place) bool {
		statuses, err := c.statuses(ctx, page, lanes)
		if err != nil {
			yield(task.Status{}, err)
			return false
		}
		for _, st := range statuses {
			if !filter.takes(st) {
				continue
			}
			if !yield(st, nil) {
				return false
			}
			if left--; left == 0 {
				return false
			}
		}
		return true
	}
	var page []*place
	for p, err := range c.places(ctx, queue, owner) {
		if err != nil {
			yield(task.Status{}, err)
			return
		}
		if page = append(page, p); len(page) < listPage {
			continue
		}
		if !flush(page) {
			return
		}
		page = page[:0]
	}
	flush(page)
}

// places yields where the whole jobs of a queue lie, in the order of the queue.
func (c *Client) places(ctx context.Context, queue, owner string) iter.Seq2[*place, error] {
	return func(yield func(*place, error) bool) {
		for _, at := range [...]struct{ stream, filter string }{
			{c.broker.Jobs(), c.broker.Job(queue, "*", owner, "*")},
			{c.broker.Later(), c.broker.DueJob(queue, owner, "*")},
			{c.broker.Later(), c.broker.LaterJob(queue, owner, "*")},
		} {
			for m, err := range c.broker.Range(ctx, at.stream, at.filter, 0) {
				if err != nil {
					yield(nil, tell("list the jobs of queue "+task.Quote(queue), err))
					return
				}
				p, err := c.placeOf(at.stream, m, c.broker.Counts(m))
				if err != nil {
					yield(nil, tell("list the jobs of queue "+task.Quote(queue), err))
					return
				}
				if p != nil && !yield(p, nil) {
					return
				}
			}
		}
	}
}

// handedOut returns up to which sequence each lane of a queue has handed out messages,
// by the name of its consumer.
func (c *Client) handedOut(ctx context.Context, queue string) (map[string]uint64, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	lanes, err := c.lanes(ctx, queue)
	if err != nil {
		return nil, err
	}
	upTo := make(map[string]uint64, len(lanes))
	for _, l := range lanes {
		upTo[l.Info.Name] = l.Info.Delivered.Stream
	}
	return upTo, nil
}

func (c *Client) waits(p *place, lanes map[string]uint64) bool {
	return p.stream == c.broker.Later() || p.message.Seq > lanes[stream.Consumer(p.Queue, p.Lane)]
}

// statuses derives those of the jobs that have no outcome.
func (c *Client) statuses(ctx context.Context, page []*place, lanes map[string]uint64) ([]task.Status, error) {
	fences := make([]string, len(page))
	for i, p := range page {
		fences[i] = c.broker.Fence(p.Queue, p.Owner, p.ID)
	}
	records, err := c.broker.LastEach(ctx, c.broker.Outcomes(), fences)
	if err != nil {
		return nil, tell("look for outcomes", err)
	}
	standings := make(map[string]stream.Standing, len(records))
	for _, m := range records {
		s := c.broker.ReadStanding(m)
		if at := c.broker.Fence(s.Queue, s.Owner, s.ID); s.Seq > standings[at].Seq {
			standings[at] = s
		}
	}
	all := make([]task.Status, 0, len(page))
	for i, p := range page {
		s := standings[fences[i]]
		if s.Record == nil {
			all = append(all, derive(p, s.Claim, c.waits(p, lanes)))
		}
	}
	return all, nil
}
