package main

import (
	"context"

	"github.com/natsasync/natsasync/producer"
)

type queueQuotaCmd struct {
	Queue string `arg:"" help:"Name of the queue."`
	Quota string `arg:"" help:"Name of the quota."`
	Size  int    `arg:"" help:"How many jobs may hold it at once; 0 removes an empty quota."`
}

// Run sets the quota, at once and while jobs run.
func (c queueQuotaCmd) Run(ctx context.Context, e *environment) error {
	return e.with(ctx, func(s *session, client *producer.Client) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		if err := client.Queue(c.Queue).SetQuota(ctx, c.Quota, c.Size); err != nil {
			return err
		}
		view := struct {
			Queue string `json:"queue"`
			Quota string `json:"quota"`
			Size  int    `json:"size"`
		}{c.Queue, c.Quota, c.Size}
		return s.result(view, func() error {
			if c.Size == 0 {
				return s.say("queue %s has no quota %s any more", c.Queue, c.Quota)
			}
			return s.say("queue %s runs at most %d jobs of quota %s at once", c.Queue, c.Size, c.Quota)
		})
	})
}
