package guide

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Lease of the scene's namespace: short, so that the job of a killed worker goes on soon.
const Lease = 2 * time.Second

// Config says where a scene plays.
type Config struct {
	// Worker is the command that runs [RunWorker] in a process of its own, on the
	// server whose URL it is given as its last argument.
	Worker []string
	// Port of the server. Defaults to a free one.
	Port   int
	Logger *slog.Logger
}

// Scene is a server, a producer and a worker in this process, and the site they work on.
type Scene struct {
	Site   *Site
	Server *embedded.Server
	JS     jetstream.JetStream
	Client *producer.Client

	cfg  Config
	undo []func()
}

// Open starts a scene. Close ends it.
func Open(ctx context.Context, cfg Config) (*Scene, error) {
	s := &Scene{Site: NewSite(), cfg: cfg}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Scene) open(ctx context.Context) error {
	port := s.cfg.Port
	if port == 0 {
		port = -1
	}
	srv, err := embedded.Start(embedded.Config{Port: port, Logger: s.cfg.Logger})
	if err != nil {
		return err
	}
	s.Server = srv
	s.later(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	nc, err := srv.Connect(nats.Name("natsasync guide"))
	if err != nil {
		return err
	}
	s.later(nc.Close)
	if s.JS, err = jetstream.New(nc); err != nil {
		return err
	}
	if s.Client, err = producer.New(ctx, s.JS, producer.Config{Queues: []string{ReportQueue}, Lease: Lease, Logger: s.cfg.Logger}); err != nil {
		return err
	}
	return s.work(ctx)
}

func (s *Scene) later(undo func()) { s.undo = append(s.undo, undo) }

func (s *Scene) work(ctx context.Context) error {
	w, err := consumer.New(ctx, s.JS, Registry(s.Site), consumer.Config{Trust: task.TrustBroker, Logger: s.cfg.Logger})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Run(run)
	}()
	s.later(func() { stop(); <-ended })
	select {
	case <-w.Ready():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends what Open has started.
func (s *Scene) Close() {
	for len(s.undo) > 0 {
		last := s.undo[len(s.undo)-1]
		s.undo = s.undo[:len(s.undo)-1]
		last()
	}
}

// spawn starts a worker process.
func (s *Scene) spawn(ctx context.Context) (*exec.Cmd, error) {
	if len(s.cfg.Worker) == 0 {
		return nil, errors.New("guide: there is no command for a worker process")
	}
	argv := append(s.cfg.Worker[1:len(s.cfg.Worker):len(s.cfg.Worker)], s.Server.URL())
	cmd := exec.CommandContext(ctx, s.cfg.Worker[0], argv...)
	cmd.Env = append(os.Environ(), "NATS_URL="+s.Server.URL())
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guide: start a worker process: %w", err)
	}
	return cmd, nil
}

// RunWorker is the main function of a worker process: it serves the queue of reports
// until ctx ends.
func RunWorker(ctx context.Context, url string, logger *slog.Logger) error {
	nc, err := nats.Connect(url, nats.Name("natsasync guide worker"), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	w, err := consumer.New(ctx, js, Registry(NewSite()), consumer.Config{
		Queues: []string{ReportQueue}, Trust: task.TrustBroker, Logger: logger,
	})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}
