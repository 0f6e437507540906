package hooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

// Declare makes cfg.Durable on the server without handling anything: outcomes from then on
// wait for a [Subscribe] of that name, which may set BindOnly. For administrators; a name
// that is there stays as it is, and one that is used for something else, as for another
// queue, is an error.
func Declare(ctx context.Context, js jetstream.JetStream, cfg Config) error {
	if cfg.Durable == "" {
		return errors.New(`hooks: durable "": it must not be empty (name what is to be made)`)
	}
	if err := cfg.checkNames(); err != nil {
		return err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	b, err := stream.Open(ctx, js, stream.Config{Namespace: cfg.Namespace, BindOnly: true, Logger: cfg.logger(), AnyReader: true})
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	r := &reader{b: b, durable: cfg.Durable, queue: cfg.Queue, logger: cfg.logger()}
	_, err = r.bind(ctx)
	return err
}
