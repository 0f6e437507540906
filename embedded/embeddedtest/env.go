// Package embeddedtest gives a test a NATS server in its own process, a producer and
// workers, all gone when the test ends.
//
//	func TestAdd(t *testing.T) {
//		env := embeddedtest.New(t)
//		reg := registry.New()
//		registry.Handle(reg, docs.Add, add)
//		env.Work(reg)
//
//		job, err := producer.Enqueue(t.Context(), env.Client, docs.Add.On("/plone", docs.AddArgs{A: 40, B: 2}))
//		…
//		sum, err := job.Wait(t.Context())
//	}
//
// Servers start in a few milliseconds, so every test can have its own and run in
// parallel with the others.
package embeddedtest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Lease is the lease of the environment's namespace: short, so that a test of a worker
// that is gone takes seconds.
const Lease = 2 * time.Second

// patience is how long what takes milliseconds may take on a busy machine.
const patience = 30 * time.Second

// Env is a server with a connection and a producer. It is safe for concurrent use.
type Env struct {
	Server *embedded.Server
	Conn   *nats.Conn
	JS     jetstream.JetStream
	Client *producer.Client

	t      testing.TB
	logger *slog.Logger
	broker *stream.Broker
}

// New starts an environment: a throw-away server and a producer that declares "default"
// and the queues named. What workers log at warning or above goes to the test's log.
func New(t testing.TB, queues ...string) *Env {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	srv, err := embedded.Start(embedded.Config{Logger: logger})
	if err != nil {
		t.Fatalf("embeddedtest: start the server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("embeddedtest: stop the server: %v", err)
		}
	})
	env := &Env{Server: srv, t: t, logger: logger}
	env.Conn = env.Connect()
	if env.JS, err = jetstream.New(env.Conn); err != nil {
		t.Fatalf("embeddedtest: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if env.Client, err = producer.New(ctx, env.JS, producer.Config{Queues: queues, Lease: Lease, Logger: logger}); err != nil {
		t.Fatalf("embeddedtest: make the producer: %v", err)
	}
	if env.broker, err = stream.Open(ctx, env.JS, stream.Config{BindOnly: true}); err != nil {
		t.Fatalf("embeddedtest: %v", err)
	}
	return env
}

// Connect makes one more connection, closed when the test ends.
func (e *Env) Connect(opts ...nats.Option) *nats.Conn {
	e.t.Helper()
	var nc *nats.Conn
	var err error
	for range 10 { // on a busy machine the 2 s are few that a connection may take
		if nc, err = e.Server.Connect(opts...); err == nil {
			break
		}
	}
	if err != nil {
		e.t.Fatalf("embeddedtest: connect: %v", err)
	}
	e.t.Cleanup(nc.Close)
	return nc
}

// Work runs a worker of the queues named, "default" if none is, until the test ends or
// stop is called; both wait for it. It returns once the worker takes jobs. The worker
// trusts the broker and has ten slots.
func (e *Env) Work(reg *registry.Registry, queues ...string) (stop func()) {
	e.t.Helper()
	return e.WorkWith(reg, consumer.Config{Queues: queues})
}

// WorkWith is Work with a configuration; Trust and Logger are set if they are not.
func (e *Env) WorkWith(reg *registry.Registry, cfg consumer.Config) (stop func()) {
	e.t.Helper()
	if cfg.Trust == nil {
		cfg.Trust = task.TrustBroker
	}
	if cfg.Logger == nil {
		cfg.Logger = e.logger
	}
	js, err := jetstream.New(e.Connect())
	if err != nil {
		e.t.Fatalf("embeddedtest: %v", err)
	}
	opening, opened := context.WithTimeout(e.t.Context(), patience)
	defer opened()
	w, err := consumer.New(opening, js, reg, cfg)
	if err != nil {
		e.t.Fatalf("embeddedtest: make the worker: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			e.t.Errorf("embeddedtest: the worker: %v", err)
		}
		ended <- nil
	}
	e.t.Cleanup(stop)
	select {
	case <-w.Ready():
	case <-e.t.Context().Done():
		e.t.Fatal("embeddedtest: the worker did not become ready")
	}
	return stop
}

// Drain waits until nothing is left: no job that waits, runs, or lies for later, no
// callback. It returns an error when ctx ends first.
func (e *Env) Drain(ctx context.Context) error {
	for {
		left, err := e.broker.Left(ctx)
		if err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("embeddedtest: jobs are left"), context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}
