package integration_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// TestMain runs the tests, or plays the part that a test has started this binary for.
// The tests wait for leases more than they work, so more of them than there are cores
// run at once.
func TestMain(m *testing.M) {
	if code, played := playGuideWorker(); played {
		os.Exit(code)
	}
	if as := os.Getenv(roleVariable); as != "" {
		var r role
		if err := json.Unmarshal([]byte(as), &r); err != nil {
			fmt.Fprintln(os.Stderr, "read the role:", err)
			os.Exit(2)
		}
		os.Exit(r.play())
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "6")
	}
	goleak.VerifyTestMain(m)
}

const (
	shortLease = 4 * time.Second // who gets no answer for a quarter of it may lose a job
	patience   = time.Minute     // for what must happen, on a busy machine
)

var (
	jane    = task.User{Realm: "/site/users", ID: "jane"}
	quiet   = slog.New(slog.DiscardHandler)
	trusted = task.TrustBroker
)

// cell is a server of its own with a producer, and a directory where handlers write
// their history.
type cell struct {
	t       *testing.T
	url     string
	conn    *nats.Conn
	js      jetstream.JetStream
	client  *producer.Client
	broker  *stream.Broker
	history *history
	dir     string
}

// newCell starts a throw-away server in this process that others can reach.
func newCell(t *testing.T, queues ...string) *cell {
	t.Helper()
	return newCellWithLease(t, shortLease, queues...)
}

func newCellWithLease(t *testing.T, lease time.Duration, queues ...string) *cell {
	t.Helper()
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, srv) })
	return cellOn(t, srv.URL(), lease, queues...)
}

// cellOn declares the queues on a server that runs somewhere.
func cellOn(t *testing.T, url string, lease time.Duration, queues ...string) *cell {
	t.Helper()
	c := &cell{t: t, url: url, dir: t.TempDir()}
	c.history = &history{path: filepath.Join(c.dir, "history")}
	c.conn = c.dial(url)
	c.js = jetStreamOf(t, c.conn)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if c.client, err = producer.New(ctx, c.js, producer.Config{Queues: queues, Lease: lease, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	if c.broker, err = stream.Open(ctx, c.js, stream.Config{BindOnly: true}); err != nil {
		t.Fatal(err)
	}
	return c
}

// on is the same cell seen from other servers. It declares nothing.
func (c *cell) on(url string) *cell {
	c.t.Helper()
	other := *c
	other.url = url
	other.conn = other.dial(url)
	other.js = jetStreamOf(c.t, other.conn)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var err error
	if other.client, err = producer.New(ctx, other.js, producer.Config{BindOnly: true, Logger: quiet}); err != nil {
		c.t.Fatal(err)
	}
	if other.broker, err = stream.Open(ctx, other.js, stream.Config{BindOnly: true}); err != nil {
		c.t.Fatal(err)
	}
	return &other
}

func (c *cell) dial(url string) *nats.Conn {
	c.t.Helper()
	nc, err := dial(c.t.Context(), url)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc
}

// dial connects as a service would that wants to outlive its servers. The 2 s that a connection may take are few on a
// busy machine, but more of them would keep it from leaving a server that is paused.
func dial(ctx context.Context, url string) (nc *nats.Conn, err error) {
	for range 10 {
		nc, err = nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
			nats.ReconnectJitter(20*time.Millisecond, 20*time.Millisecond), nats.IgnoreDiscoveredServers(),
			nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2))
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return nc, err
}

func jetStreamOf(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func shutDown(t *testing.T, s interface{ Shutdown(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
}

// hand is a worker in this process that has not begun to take jobs.
type hand struct {
	c      *cell
	worker *consumer.Worker
	cancel context.CancelFunc
	ended  chan error
}

// hire makes a worker with the tasks of the story. It takes nothing before begin.
func (c *cell) hire(name string, change ...func(*consumer.Config)) *hand {
	c.t.Helper()
	cfg := consumer.Config{Trust: task.TrustBroker, Name: name, Logger: quiet, ShutdownTimeout: 10 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	return c.hireWith(jetStreamOf(c.t, c.dial(c.url)), newStory(c.history, c.dir, name).registry(), cfg)
}

// begin takes jobs until the test ends or stop is called.
func (h *hand) begin() {
	h.c.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.c.t.Context()))
	h.cancel, h.ended = cancel, make(chan error, 1)
	go func() { h.ended <- h.worker.Run(ctx) }()
	h.c.t.Cleanup(h.stop)
	select {
	case <-h.worker.Ready():
	case <-time.After(patience):
		h.c.t.Fatalf("the worker %s takes no jobs", h.worker.Name())
	}
}

func (h *hand) stop() {
	h.c.t.Helper()
	h.cancel()
	err := <-h.ended
	if err != nil {
		h.c.t.Errorf("the worker %s: %v", h.worker.Name(), err)
	}
	h.ended <- nil
}
