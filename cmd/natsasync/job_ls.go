package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobLsCmd struct {
	Queue  string        `arg:"" optional:"" help:"Name of the queue; all without it."`
	State  string        `help:"Jobs in this state: scheduled, pending, active or retrying."`
	Ended  bool          `help:"Outcomes instead of jobs that have not ended."`
	Failed bool          `help:"Outcomes of failed jobs."`
	Since  time.Duration `placeholder:"DURATION" help:"Of outcomes: those of the last so long, like 24h."`
	Task   string        `help:"Jobs of this task."`
	Object string        `placeholder:"PATH" help:"Jobs on this object and what lies under it."`
	As     string        `placeholder:"REALM:ID" help:"Jobs of this user, as they are listed; \"anonymous\" for those of nobody."`
	Limit  int           `default:"100" help:"At most so many, 0 for all (${default}); of outcomes the newest."`
}

// Validate is called by kong.
func (c jobLsCmd) Validate() error {
	states := []string{"", string(task.StateScheduled), string(task.StatePending), string(task.StateActive), string(task.StateRetrying)}
	switch {
	case !slices.Contains(states, c.State):
		return fmt.Errorf("--state %s: it is one of%s (outcomes are shown with --ended)", task.Quote(c.State), strings.Join(states, " "))
	case c.Ended && c.Failed, c.State != "" && (c.Ended || c.Failed):
		return errors.New("--state, --ended and --failed: they contradict each other (give one)")
	}
	if c.Limit < 0 {
		return fmt.Errorf("--limit %d: it must not be negative (0 is no limit)", c.Limit)
	}
	if c.Since < 0 {
		return fmt.Errorf("--since %v: it must not be negative", c.Since)
	}
	if c.Since > 0 && !c.Ended && !c.Failed {
		return fmt.Errorf("--since %v: is for outcomes (give --ended or --failed too)", c.Since)
	}
	return nil
}

// Run lists jobs or outcomes.
func (c jobLsCmd) Run(ctx context.Context, e *environment) error {
	user, err := parseFilterUser(c.As)
	if err != nil {
		return err
	}
	return e.with(ctx, func(s *session, client *producer.Client) error {
		if c.Ended || c.Failed {
			return c.outcomes(ctx, s, client, user)
		}
		return c.jobs(ctx, s, client, user)
	})
}

func (c jobLsCmd) jobs(ctx context.Context, s *session, client *producer.Client, user *task.User) error {
	queues := []string{c.Queue}
	if c.Queue == "" {
		var err error
		if queues, err = client.Queues(ctx); err != nil {
			return err
		}
	}
	views := []statusView{}
	var rows [][]cell
	more := false
	for _, queue := range queues {
		if more {
			break
		}
		filter := producer.JobFilter{State: task.State(c.State), Task: c.Task, User: user, Object: task.Object(c.Object)}
		for st, err := range client.Queue(queue).Jobs(ctx, filter) {
			if err != nil {
				return err
			}
			if more = c.Limit > 0 && len(views) == c.Limit; more {
				break
			}
			views = append(views, viewStatus(st))
			rows = append(rows, statusRow(st))
		}
	}
	if more {
		s.remark("there are more; --limit 0 shows all")
	}
	return s.result(views, func() error {
		return s.table([]string{"id", "state", "task", "object", "user", "queue", "quota", "attempt", "queued", "not before"}, rows)
	})
}

func statusRow(st task.Status) []cell {
	attempt := ""
	if st.Attempt > 0 {
		attempt = strconv.Itoa(st.Attempt)
	}
	row := texts(st.ID, string(st.State), st.Task, st.Object.String(), nameOf(st.User), st.Queue, st.Quota, attempt, clock(st.Queued), clock(st.NotBefore))
	row[1].colour = stateColour(st.State)
	return row
}

// outcomes shows the newest: the stream has them oldest first.
func (c jobLsCmd) outcomes(ctx context.Context, s *session, client *producer.Client, user *task.User) error {
	filter := producer.OutcomeFilter{Queue: c.Queue, Task: c.Task, User: user, Object: task.Object(c.Object)}
	if c.Failed {
		filter.End = task.Failed
	}
	if c.Since > 0 {
		b, err := s.broker(ctx)
		if err != nil {
			return err
		}
		filter.Since = b.Now().Add(-c.Since)
	}
	var newest []task.Outcome
	more := false
	for o, err := range client.Outcomes(ctx, filter) {
		if err != nil {
			return err
		}
		newest = append(newest, o)
		if c.Limit > 0 && len(newest) >= 2*c.Limit {
			newest, more = append(newest[:0], newest[c.Limit:]...), true
		}
	}
	if c.Limit > 0 && len(newest) > c.Limit {
		newest, more = newest[len(newest)-c.Limit:], true
	}
	if more {
		s.remark("there are more; --limit 0 shows all")
	}
	views := make([]outcomeView, len(newest))
	var rows [][]cell
	for i, o := range newest {
		views[i] = viewOutcome(o)
		row := texts(o.ID, o.Task, o.Object.String(), nameOf(o.User), o.Queue, string(o.End), clock(o.Ended), summary(o))
		row[5].colour = endColour(string(o.End))
		rows = append(rows, row)
	}
	return s.result(views, func() error {
		return s.table([]string{"id", "task", "object", "user", "queue", "end", "ended", "error"}, rows)
	})
}

// parseUser reads REALM:ID.
func parseUser(text string) (task.User, error) {
	i := strings.LastIndexByte(text, ':')
	if i < 1 || i == len(text)-1 {
		return task.User{}, misuse("--as %s: it is REALM:ID, like \"/plone/acl_users:alice\"", task.Quote(text))
	}
	user := task.User{Realm: text[:i], ID: text[i+1:]}
	if err := user.Check(); err != nil {
		return task.User{}, misuse("--as %s: %w", task.Quote(text), err)
	}
	return user, nil
}

// parseFilterUser is nil for any user. Of a user without realm, as a program may queue for, it is the ID alone.
func parseFilterUser(text string) (*task.User, error) {
	switch text {
	case "":
		return nil, nil
	case "anonymous":
		return &task.User{}, nil
	}
	if !strings.Contains(text, ":") {
		return &task.User{ID: text}, nil
	}
	user, err := parseUser(text)
	return &user, err
}
