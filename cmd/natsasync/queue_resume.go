package main

import (
	"context"

	"github.com/natsasync/natsasync/producer"
)

type queueResumeCmd struct {
	Queue string `arg:"" help:"Name of the queue."`
}

// Run ends the pause of the queue.
func (c queueResumeCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, client *producer.Client) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		if err := client.Queue(c.Queue).Resume(ctx); err != nil {
			return err
		}
		view := struct {
			Queue string `json:"queue"`
		}{c.Queue}
		return s.result(view, func() error { return s.say("queue %s goes on", c.Queue) })
	})
}
