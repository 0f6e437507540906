package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var quiet = slog.New(slog.DiscardHandler)

// anybody may do anything.
type anybody struct{}

// Can makes anybody a [registry.Principal].
func (anybody) Can(context.Context, string, task.Object) error { return nil }

// ourWorker runs a worker of the queue, with as many slots as the wide lane has, or as by default for the lane of
// size 1. Each job has a user who is looked up, an object and an input that is decoded.
func ourWorker(ctx context.Context, s *site, l *laps) (func() error, error) {
	reg := registry.New()
	registry.Users(reg, func(context.Context, task.User) (registry.Principal, error) { return anybody{}, nil })
	registry.Handle(reg, noop, func(context.Context, task.Object, note) (task.None, error) {
		l.lap()
		return task.None{}, nil
	})
	slots := consumer.DefaultConcurrency
	if l.quota == wideQuota {
		slots = wideSize
	}
	js, err := s.connect()
	if err != nil {
		return nil, err
	}
	w, err := consumer.New(ctx, js, reg, consumer.Config{Queues: []string{queueName}, Concurrency: slots, Trust: s.trust, Signer: s.signer, Logger: quiet})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(running) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}

func (s *site) client(ctx context.Context) (*producer.Client, context.Context, error) {
	js, err := s.connect()
	if err != nil {
		return nil, nil, err
	}
	c, err := producer.New(ctx, js, producer.Config{Queues: []string{queueName}, Signer: s.signer, Trust: s.trust, Logger: quiet})
	return c, task.WithUser(ctx, alice), err
}

// ourQueue queues n jobs one by one and returns how many a second. Making the call is part of it.
func ourQueue(ctx context.Context, s *site, n int) (float64, error) {
	c, ctx, err := s.client(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for range n {
		if _, err := producer.Enqueue(ctx, c, noop.On(object, input)); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// ourBulk queues n jobs at once and returns how many a second. The calls are made before, as the raw client's messages
// are; checking and encoding them is part of it.
func ourBulk(ctx context.Context, s *site, n int) (float64, error) {
	c, ctx, err := s.client(ctx)
	if err != nil {
		return 0, err
	}
	calls := make([]task.Call[task.None], n)
	for i := range calls {
		calls[i] = noop.On(object, input)
	}
	began := time.Now()
	if _, err := producer.EnqueueAll(ctx, c, calls); err != nil {
		return 0, err
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// ourTrips queues n jobs on an idle system, waits for each, and returns how long the median took, in microseconds.
func ourTrips(ctx context.Context, s *site, n int) (float64, error) {
	stop, err := ourWorker(ctx, s, newLaps(task.DefaultQuota, n))
	if err != nil {
		return 0, err
	}
	c, ctx, err := s.client(ctx)
	if err != nil {
		return 0, errors.Join(err, stop())
	}
	p50, err := trips(n, func() error {
		job, err := producer.Enqueue(ctx, c, noop.On(object, input))
		if err != nil {
			return err
		}
		if _, err = job.Wait(ctx); err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		return nil
	})
	return p50, errors.Join(err, stop())
}
