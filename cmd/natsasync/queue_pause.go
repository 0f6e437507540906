package main

import (
	"context"
	"fmt"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// openEnded is how long a pause without an end is: the server knows no "for ever".
const openEnded = task.MaxDuration

type queuePauseCmd struct {
	Queue string         `arg:"" help:"Name of the queue."`
	For   *time.Duration `placeholder:"DURATION" help:"How long, like 1h30m. Without it until it is resumed."`
}

// Validate is called by kong.
func (c queuePauseCmd) Validate() error {
	if c.For != nil && (*c.For <= 0 || *c.For > openEnded) {
		return fmt.Errorf("--for %v: it must be more than 0 and at most %v (leave it out to pause until it is resumed)", *c.For, openEnded)
	}
	return nil
}

// Run pauses the queue.
func (c queuePauseCmd) Run(ctx context.Context, e *environment) error {
	length := openEnded
	if c.For != nil {
		length = *c.For
	}
	return e.with(ctx, func(s *session, client *producer.Client) error {
		b, err := s.broker(ctx)
		if err != nil {
			return err
		}
		until := b.Now().Add(length).Truncate(time.Millisecond)
		ctx, cancel := s.brief(ctx)
		defer cancel()
		if err := client.Queue(c.Queue).Pause(ctx, until); err != nil {
			return err
		}
		view := struct {
			Queue string    `json:"queue"`
			Until time.Time `json:"paused_until"`
		}{c.Queue, until.UTC()}
		return s.result(view, func() error { return s.say("queue %s is paused %s", c.Queue, pausedText(until)) })
	})
}
