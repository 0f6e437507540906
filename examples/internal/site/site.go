// Package site runs an example on an embedded server.
package site

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Site is a server with a producer, and a worker once there is one.
type Site struct {
	Client *producer.Client

	js    jetstream.JetStream
	stop  context.CancelFunc
	ended chan error
}

// Work runs a worker until the site ends.
func (s *Site) Work(ctx context.Context, reg *registry.Registry) error {
	w, err := consumer.New(ctx, s.js, reg, consumer.Config{Trust: task.TrustBroker, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(ctx)
	go func() { s.ended <- w.Run(ctx) }()
	return nil
}

// Run plays an example on a site of its own.
func Run(play func(context.Context, *Site) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, err := embedded.Start(embedded.Config{})
	if err != nil {
		return err
	}
	nc, err := srv.Connect()
	if err != nil {
		return errors.Join(err, srv.Shutdown(ctx))
	}
	s := &Site{ended: make(chan error, 1)}
	err = func() error {
		if s.js, err = jetstream.New(nc); err != nil {
			return err
		}
		if s.Client, err = producer.New(ctx, s.js, producer.Config{Logger: slog.New(slog.DiscardHandler)}); err != nil {
			return err
		}
		if err := play(ctx, s); err != nil {
			return err
		}
		if s.stop == nil {
			return nil
		}
		s.stop()
		return <-s.ended
	}()
	nc.Close()
	return errors.Join(err, srv.Shutdown(context.WithoutCancel(ctx)))
}
