package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// session is a connection, and what commands make of it.
type session struct {
	*environment
	nc     *nats.Conn
	js     jetstream.JetStream
	closed chan struct{}
}

// close returns once everything that the connection had to say has been heard.
func (s *session) close() {
	s.nc.Close()
	<-s.closed
}

// brief bounds what is to be done at once.
func (s *session) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.connection.Timeout)
}

// client looks for the streams, and makes nothing.
func (s *session) client(ctx context.Context) (*producer.Client, error) {
	ctx, cancel := s.brief(ctx)
	defer cancel()
	signer, err := s.connection.signer()
	if err != nil {
		return nil, err
	}
	owner, err := s.connection.owner()
	if err != nil {
		return nil, err
	}
	c, err := producer.New(ctx, s.js, producer.Config{
		Namespace: s.connection.Namespace, BindOnly: true, Logger: s.logger(), Signer: signer, Trust: s.connection.trust(), Owner: owner,
	})
	return c, s.explain(err)
}

// broker is the layer under client, for what a client does not show.
func (s *session) broker(ctx context.Context) (*stream.Broker, error) {
	ctx, cancel := s.brief(ctx)
	defer cancel()
	b, err := stream.Open(ctx, s.js, stream.Config{
		Namespace: s.connection.Namespace, BindOnly: true, Logger: s.logger(), Keys: task.KeysOf(s.connection.trust()), Bound: s.connection.Owner != "",
	})
	return b, s.explain(err)
}

// explain says what to do about a namespace that is not there, or not in the login's account.
func (s *session) explain(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf(`namespace %q: it is not on this server, or not whole (run "natsasync init", or correct --server, --namespace or --js-domain): %w`,
			s.connection.Namespace, jetstream.ErrStreamNotFound)
	}
	if api := s.js.Options(); api.Domain != "" || api.APIPrefix != "" && api.APIPrefix != jetstream.DefaultAPIPrefix {
		return err
	}
	for _, out := range [...]error{nats.ErrPermissionViolation, nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabledForAccount} {
		if errors.Is(err, out) {
			return fmt.Errorf(`%w (if the streams are in another account give --js-api-prefix, for a login of "natsasync auth setup" %s)`,
				err, strings.TrimSuffix(access.OutsideAPI, "."))
		}
	}
	return err
}

func (e *environment) logger() *slog.Logger {
	if e.log != nil && !e.connection.Trace {
		return e.log
	}
	level := zerolog.WarnLevel
	if e.connection.Trace {
		level = zerolog.DebugLevel
	}
	return slog.New(zerolog.NewSlogHandler(zerolog.New(e.err).Level(level).With().Timestamp().Logger()))
}

// with runs do with a client, on a connection that is closed afterwards.
func (e *environment) with(ctx context.Context, do func(*session, *producer.Client) error) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	c, err := s.client(ctx)
	if err != nil {
		return err
	}
	return do(s, c)
}

// withGateway runs do with a client that has a gateway queue what it is given.
func (e *environment) withGateway(ctx context.Context, do func(*session, *producer.Client) error) error {
	if e.connection.Sign != "" {
		return misuse("--gateway: the gateway signs (leave --sign out)")
	}
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	opening, cancel := s.brief(ctx)
	defer cancel()
	c, err := producer.New(opening, s.js, producer.Config{Namespace: e.connection.Namespace, BindOnly: true, Gateway: true, Logger: s.logger()})
	if err != nil {
		return err
	}
	return do(s, c)
}
