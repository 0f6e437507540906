package producer

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/natsasync/natsasync/task"
)

// OutcomeFilter says which outcomes to list. Zero values mean any.
type OutcomeFilter struct {
	Queue  string
	End    task.End
	Task   string
	User   *task.User  // a pointer, as the zero User is the anonymous one
	Object task.Object // this object and what lies under it
	Since  time.Time   // recorded then or later
	Limit  int         // at most so many
}

func (f OutcomeFilter) check() error {
	if f.Queue != "" {
		if err := checkQueue(f.Queue); err != nil {
			return err
		}
	}
	switch f.End {
	case "", task.Succeeded, task.Failed, task.Cancelled:
	default:
		return fmt.Errorf("producer: end %s: jobs end %q, %q or %q", task.Quote(string(f.End)), task.Succeeded, task.Failed, task.Cancelled)
	}
	return checkFilter(f.Task, f.Object, f.Limit)
}

func (f OutcomeFilter) subject(c *Client) string {
	queue, kind, owner := "*", "*", "*"
	if f.Queue != "" {
		queue = f.Queue
	}
	if f.End != "" {
		kind = string(f.End)
	}
	if f.User != nil {
		owner = f.User.Owner()
	}
	return c.broker.Names.Outcome(queue, kind, owner, "*")
}

func (f OutcomeFilter) takes(o task.Outcome) bool {
	return (f.Task == "" || o.Task == f.Task) && (f.User == nil || o.User == *f.User) && under(o.Object, f.Object)
}

// Outcomes yields the outcomes of whole jobs that are kept, oldest first, as any replica
// has them. The Value of a batch stays empty: [Job.Outcome] fills it in. An error ends
// it.
func (c *Client) Outcomes(ctx context.Context, filter OutcomeFilter) iter.Seq2[task.Outcome, error] {
	return func(yield func(task.Outcome, error) bool) {
		if err := filter.check(); err != nil {
			yield(task.Outcome{}, err)
			return
		}
		left := filter.Limit
		for m, err := range c.broker.Range(ctx, c.broker.Outcomes(), filter.subject(c), 0) {
			if err != nil {
				yield(task.Outcome{}, tell("list outcomes", err))
				return
			}
			if m.Time.Before(filter.Since) {
				continue
			}
			r := c.broker.ReadStanding(m).Record
			if r == nil || !filter.takes(r.Outcome) {
				continue
			}
			if !yield(r.Outcome, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}
