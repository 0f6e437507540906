package main

import (
	"context"
	"fmt"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobCancelCmd struct {
	ID    string `arg:"" help:"ID of the job."`
	Force bool   `short:"f" help:"Do not ask."`
	whose
}

// Run cancels the job.
func (c jobCancelCmd) Run(ctx context.Context, e *environment) error {
	ctx, err := c.with(ctx)
	if err != nil {
		return err
	}
	return e.with(ctx, func(s *session, client *producer.Client) error {
		job := producer.Find[task.Raw](client, c.ID) // the one that is asked about and no other
		st, err := job.Status(ctx)
		if err != nil {
			return err
		}
		if st.Outcome != nil && st.Outcome.End != task.Cancelled {
			return fmt.Errorf("job %s has ended already: %s", st.ID, st.Outcome.End)
		}
		force := c.Force || st.Outcome != nil // again does no harm
		if err := s.confirm(force, "Cancel job %s, %s on %s, which is %s", st.ID, st.Task, orDash(st.Object.String()), st.State); err != nil {
			return err
		}
		ctx, cancel := s.brief(ctx)
		defer cancel()
		if err := job.Cancel(ctx); err != nil {
			return err
		}
		view := struct {
			ID  string `json:"id"`
			End string `json:"end"`
		}{c.ID, "cancelled"}
		return s.result(view, func() error { return s.say("job %s is cancelled", c.ID) })
	})
}
