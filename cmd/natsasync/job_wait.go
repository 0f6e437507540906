package main

import (
	"context"
	"errors"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobWaitCmd struct {
	ID string `arg:"" help:"ID of the job."`
}

// Run waits, for as long as it takes, until the job has ended and its callbacks have run.
func (c jobWaitCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, client *producer.Client) error {
		job := producer.Find[task.Raw](client, c.ID)
		_, err := job.Wait(ctx)
		if _, failed := errors.AsType[*task.Failure](err); err != nil && !failed {
			return err
		}
		o, err := job.Outcome(ctx)
		if err != nil {
			return err
		}
		if o == nil {
			return errors.New("the outcome has aged out meanwhile")
		}
		if err := s.result(viewOutcome(*o), func() error { return s.outcome(*o) }); err != nil {
			return err
		}
		if o.End != task.Succeeded {
			return errSilent
		}
		return nil
	})
}

func (t *terminal) outcome(o task.Outcome) error {
	end := t.paint(string(o.End), endColour(string(o.End)))
	after := ""
	if !o.Started.IsZero() {
		after = " after " + took(o).String()
	}
	if err := t.say("%s %s%s", printable(o.ID), end, after); err != nil {
		return err
	}
	if why := summary(o); why != "" {
		return t.say("%s", printable(why))
	}
	if len(o.Value) > 0 && o.End == task.Succeeded {
		return t.writeJSON(shown(o.Value))
	}
	return nil
}
