package main

import (
	"context"

	"github.com/natsasync/natsasync/producer"
)

type queuePurgeCmd struct {
	Queue string `arg:"" help:"Name of the queue."`
	Force bool   `short:"f" help:"Do not ask."`
}

// Run cancels what has not started.
func (c queuePurgeCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, client *producer.Client) error {
		queue := client.Queue(c.Queue)
		n, err := queue.Len(ctx)
		if err != nil {
			return err
		}
		if err := s.confirm(c.Force, "Cancel the %d jobs of queue %q that have not started", n, c.Queue); err != nil {
			return err
		}
		cancelled, err := queue.Purge(ctx)
		if err != nil {
			return err
		}
		view := struct {
			Queue     string `json:"queue"`
			Cancelled int    `json:"cancelled"`
		}{c.Queue, cancelled}
		return s.result(view, func() error { return s.say("%d jobs of queue %s are cancelled", cancelled, c.Queue) })
	})
}
