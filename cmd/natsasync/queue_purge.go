package main

import (
	"context"
	"strconv"

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
		if err := s.confirm(c.Force, "Cancel %s of queue %q that %s not started", jobs(n), c.Queue, have(n)); err != nil {
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
		return s.result(view, func() error { return s.say("%s of queue %s cancelled", jobs(cancelled), c.Queue) })
	})
}

func jobs(n int) string {
	if n == 1 {
		return "1 job"
	}
	return strconv.Itoa(n) + " jobs"
}

func have(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}
