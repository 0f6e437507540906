package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobWaitCmd struct {
	ID  string        `arg:"" help:"ID of the job."`
	For time.Duration `placeholder:"DURATION" help:"How long at most, like 90s; exit 1 if it has not ended then. Without it for ever."`
	whose
}

// Validate is called by kong.
func (c jobWaitCmd) Validate() error {
	if c.For < 0 {
		return fmt.Errorf("--for %v: it must not be negative (0 waits for ever)", c.For)
	}
	return nil
}

// Run waits until the job has ended and its callbacks have run.
func (c jobWaitCmd) Run(ctx context.Context, e *environment) error {
	ctx, err := c.with(ctx)
	if err != nil {
		return err
	}
	e.live = true
	return e.with(ctx, func(s *session, client *producer.Client) error {
		job := producer.Find[task.Raw](client, c.ID)
		err := c.wait(ctx, job)
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

func (c jobWaitCmd) wait(ctx context.Context, job *producer.Job[task.Raw]) error {
	if c.For == 0 {
		_, err := job.Wait(ctx)
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	_, err := job.Wait(waiting)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) && waiting.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("job %s has not ended within %v, callbacks included", c.ID, c.For)
	}
	return err
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
