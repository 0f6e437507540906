package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type jobQueueCmd struct {
	Task    string        `arg:"" help:"Name of the task."`
	Object  string        `arg:"" optional:"" help:"Path of the object to work on."`
	Input   *string       `placeholder:"JSON" help:"Input of the task: JSON, @FILE, or - for stdin. A task without input needs none."`
	As      string        `placeholder:"REALM:ID" help:"User to run as. Defaults to --owner, else to the anonymous one, who has no rights."`
	Queue   string        `help:"Queue; defaults to \"default\"."`
	Quota   string        `xor:"quota" help:"Quota to hold; defaults to \"default\"."`
	NoQuota bool          `xor:"quota" help:"Hold no quota: run beside all others."`
	ID      string        `help:"ID of the job; queueing it again makes no second one."`
	Delay   time.Duration `placeholder:"DURATION" help:"Not before so long, like 90s."`
	Gateway bool          `help:"Have a gateway queue it: for the user in --as, for whom this login must be."`
}

type queuedView struct {
	ID     string `json:"id"`
	Queue  string `json:"queue"`
	Parent string `json:"parent,omitempty"`
}

// Run queues the job and prints its ID.
func (c jobQueueCmd) Run(ctx context.Context, e *environment) error {
	call, err := c.call(e)
	if err != nil {
		return err
	}
	user, err := e.connection.owner()
	if c.As != "" {
		user, err = parseUser(c.As)
	}
	if err != nil {
		return err
	}
	ctx = task.WithUser(ctx, user)
	with := e.with
	if c.Gateway {
		with = e.withGateway
	}
	return with(ctx, func(s *session, client *producer.Client) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		job, err := client.EnqueueSpec(ctx, call)
		if errors.Is(err, producer.ErrUnknown) {
			return fmt.Errorf("%w; queue it again with --id %s", err, job.ID())
		}
		if err != nil {
			return err
		}
		return s.queued(queuedView{ID: job.ID(), Queue: job.Queue()})
	})
}

// call is checked before anything is connected.
func (c jobQueueCmd) call(e *environment) (task.Spec, error) {
	call := task.Spec{Task: c.Task, Object: task.Object(c.Object), Options: task.Options{
		ID: c.ID, Queue: c.Queue, Quota: c.Quota, NoQuota: c.NoQuota, Delay: c.Delay,
	}}
	if c.Input != nil {
		var err error
		if call.Input, err = readInput(*c.Input, e.in); err != nil {
			return call, err
		}
	}
	if _, err := call.Seal(task.Sealing{Now: time.Now()}); err != nil {
		return call, usageError{err}
	}
	return call, nil
}

func (s *session) queued(view queuedView) error {
	return s.result(view, func() error { return s.say("%s", view.ID) })
}
