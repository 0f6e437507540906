package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Handlers are what a subscription calls; those that are nil are left out. Their context
// has the values of the one given to [Subscribe] and does not end with it, nor with Stop,
// which waits for them. An outcome is theirs: nobody changes it later.
type Handlers struct {
	Success   func(ctx context.Context, o task.Outcome) error
	Failure   func(ctx context.Context, o task.Outcome) error
	Cancelled func(ctx context.Context, o task.Outcome) error

	// What is not stored. One is called at a time, beside those above.
	Started  func(ctx context.Context, e task.Event)
	Retrying func(ctx context.Context, e task.Event)
	Progress func(ctx context.Context, e task.Event)
}

func (h Handlers) of(end task.End) func(context.Context, task.Outcome) error {
	switch end {
	case task.Succeeded:
		return h.Success
	case task.Failed:
		return h.Failure
	}
	return h.Cancelled
}

func (h Handlers) ends() bool { return h.Success != nil || h.Failure != nil || h.Cancelled != nil }

func (h Handlers) events() map[string]func(context.Context, task.Event) {
	all := map[string]func(context.Context, task.Event){
		task.EventStarted: h.Started, task.EventRetrying: h.Retrying, task.EventProgress: h.Progress,
	}
	for kind, fn := range all {
		if fn == nil {
			delete(all, kind)
		}
	}
	return all
}

// Config says what is listened to. The zero value listens to all queues from now on.
type Config struct {
	// Durable is the name under which the server remembers what has been handled: a-z,
	// 0-9 and "-". It covers all three ends whatever the Handlers: an outcome that has
	// none counts as handled, and a handler that is added later gets all from then on,
	// those from while nobody was there too. Defaults to none.
	Durable string
	// Queue is the queue whose jobs are heard of. Defaults to all queues.
	Queue string
	// Trust says whose word counts for how jobs ended: with task.TrustFile or
	// task.TrustKeys, outcomes that others signed are passed over. Defaults to
	// task.TrustBroker, what NATS let through. Events are not signed.
	Trust task.Trust
	// Namespace is the first token of every subject. Defaults to "natsasync".
	Namespace string
	// BindOnly makes nothing on the server: the streams must be there and, for
	// outcomes, a Durable that was made before.
	BindOnly bool
	// Logger defaults to zerolog on stderr at info.
	Logger *slog.Logger
}

func (c Config) checkNames() error {
	if c.Durable != "" {
		if err := task.CheckToken("durable", c.Durable); err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
	}
	if c.Queue != "" {
		if err := task.CheckToken("queue", c.Queue); err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
	}
	return nil
}

func (c Config) check(h Handlers) error {
	if err := c.checkNames(); err != nil {
		return err
	}
	if !h.ends() && len(h.events()) == 0 {
		return errors.New("hooks: handlers: there is none (set one of Success, Failure, Cancelled, Started, Retrying and Progress)")
	}
	if c.Durable != "" && !h.ends() {
		return fmt.Errorf("hooks: durable %q: no handler is for outcomes, and nothing else is stored (set one of Success, Failure and Cancelled, or leave Durable out)", c.Durable)
	}
	if c.BindOnly && c.Durable == "" && h.ends() {
		return errors.New(`hooks: durable "": with BindOnly it must name a consumer that is there (set it, or leave BindOnly out)`)
	}
	return nil
}

func (c Config) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(zerolog.NewSlogHandler(zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger()))
}

// timeout bounds each request, and Subscribe if its context has no deadline.
const timeout = 5 * time.Second

// Subscription is what [Subscribe] returns. It is safe for concurrent use.
type Subscription struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Subscribe starts to call handlers. When it returns the subscription stands: outcomes
// recorded from then on are heard of. ctx bounds the start alone, to 5 s if it has no
// deadline; call [Subscription.Stop] in the end. The connection stays the caller's. A
// durable name that is used for something else, as for another queue, is an error.
func Subscribe(ctx context.Context, js jetstream.JetStream, h Handlers, cfg Config) (*Subscription, error) {
	if js == nil {
		return nil, errors.New("hooks: jetstream: it is nil (make one with jetstream.New)")
	}
	if err := cfg.check(h); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	sub := &Subscription{stop: stop}
	if err := sub.start(ctx, running, js, h, cfg); err != nil {
		sub.Stop()
		return nil, err
	}
	return sub, nil
}

// withDeadline gives ctx the timeout unless it has a deadline.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// Stop ends the subscription. It waits for handlers that run and leaves no goroutine; the
// next outcome is left to the next subscriber of the name. A handler must not call it.
func (s *Subscription) Stop() {
	s.stop()
	s.running.Wait()
}

func (s *Subscription) start(ctx, running context.Context, js jetstream.JetStream, h Handlers, cfg Config) error {
	logger := cfg.logger()
	b, err := stream.Open(ctx, js, stream.Config{Namespace: cfg.Namespace, BindOnly: cfg.BindOnly, Logger: logger, Keys: task.KeysOf(cfg.Trust), AnyReader: true})
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	if events := h.events(); len(events) > 0 {
		l := &listener{b: b, handlers: events, queue: cfg.Queue, logger: logger}
		if err := l.open(ctx); err != nil {
			return err
		}
		s.running.Go(func() { l.run(running) })
	}
	if !h.ends() {
		return nil
	}
	r := &reader{b: b, handlers: h, durable: cfg.Durable, queue: cfg.Queue, bindOnly: cfg.BindOnly, logger: logger.With("durable", cfg.Durable)}
	c, err := r.bind(ctx)
	if err != nil {
		return err
	}
	s.running.Go(func() { r.run(running, c) })
	return nil
}

// wildcard is a queue as one token of a filter.
func wildcard(queue string) string {
	if queue == "" {
		return "*"
	}
	return queue
}
