package main

import (
	"context"

	"github.com/natsasync/natsasync/producer"
)

type jobRetryCmd struct {
	ID string `arg:"" help:"ID of the failed job."`
	whose
}

// Run queues the job again, as a new one, and prints its ID.
func (c jobRetryCmd) Run(ctx context.Context, e *environment) error {
	ctx, err := c.with(ctx)
	if err != nil {
		return err
	}
	return e.with(ctx, func(s *session, client *producer.Client) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		job, err := client.Retry(ctx, c.ID)
		if err != nil {
			return err
		}
		return s.queued(queuedView{ID: job.ID(), Queue: job.Queue(), Parent: c.ID})
	})
}
