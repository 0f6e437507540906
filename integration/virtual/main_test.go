// Package virtual_test are the stories of integration that take minutes or days, in virtual time: the real server, real
// clients and real workers run in one bubble of testing/synctest, where a day passes as soon as everybody waits for it.
// Nothing else runs in this process, and the tests run one after another.
package virtual_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) {
	ats.Register() // the clock of all servers of a process, which no bubble may start
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// seeds is how many runs a story has: always, and in make soak.
func seeds(always, soak int) uint64 {
	if os.Getenv("NATSASYNC_SOAK") != "" {
		return uint64(soak)
	}
	return uint64(always)
}

var (
	jane  = task.User{Realm: "/site/users", ID: "jane"}
	quiet = slog.New(slog.DiscardHandler)
)

// world is a server, which may be away for a while, and all who use it.
type world struct {
	*testing.T
	dir    string
	began  time.Time
	log    tally
	js     jetstream.JetStream
	client *producer.Client
	broker *stream.Broker

	drawing sync.Mutex
	rng     *rand.Rand

	mu     sync.Mutex
	server *embedded.Server // nil while it is away
	dials  int              // while it was away
	starts map[string][]time.Time
}

// inVirtualTime tells a story once for each seed, each in a bubble of its own.
func inVirtualTime(t *testing.T, seeds uint64, lease time.Duration, story func(*world)) {
	t.Helper()
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed+1), func(t *testing.T) {
			// The client keeps timers in a pool, and one of another bubble is of no use in this: two collections empty it.
			runtime.GC()
			runtime.GC()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, rng: rand.New(rand.NewPCG(seed+1, 0)), dir: dir, began: time.Now(), starts: make(map[string][]time.Time)}
				w.up()
				t.Cleanup(w.down)
				w.js = w.connect()
				var err error
				if w.client, err = producer.New(t.Context(), w.js, producer.Config{Lease: lease, Logger: slog.New(&w.log)}); err != nil {
					t.Fatal(err)
				}
				if w.broker, err = stream.Open(t.Context(), w.js, stream.Config{BindOnly: true}); err != nil {
					t.Fatal(err)
				}
				story(w)
			})
		})
	}
}

// up starts the server, on what it had stored before.
func (w *world) up() {
	srv, err := embedded.Start(embedded.Config{StoreDir: w.dir, NoSync: true, Logger: quiet})
	if err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = srv
}

// down stops the server; connections stay and look for it.
func (w *world) down() {
	w.mu.Lock()
	srv := w.server
	w.server = nil
	w.mu.Unlock()
	if srv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		w.Errorf("shut down: %v", err)
	}
}

// line is how one connection reaches the server.
type line struct {
	w     *world
	wait  func() time.Duration // before each write, if not nil
	conn  net.Conn
	isCut bool
}

var errAway = errors.New("the server is away")

// InProcessConn makes line what the client dials.
func (l *line) InProcessConn() (net.Conn, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.server == nil || l.isCut {
		l.w.dials++
		return nil, errAway
	}
	conn, err := l.w.server.Server().InProcessConn()
	l.conn = conn
	if l.wait == nil || err != nil {
		return conn, err
	}
	return newSlow(conn, l.wait), nil
}

// cut ends the connection for good.
func (l *line) cut() {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.isCut = true
	_ = l.conn.Close()
}

// slow is a connection on which what is written takes its time. Its writer does not wait: it holds a lock meanwhile, and
// virtual time stands still while somebody waits for a lock.
type slow struct {
	net.Conn
	wait  func() time.Duration
	under chan []byte // what is under way
	gone  chan struct{}
	close func()
}

func newSlow(conn net.Conn, wait func() time.Duration) *slow {
	s := &slow{Conn: conn, wait: wait, under: make(chan []byte, 1<<12), gone: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.gone) })
	go s.carry()
	return s
}

func (s *slow) carry() {
	for {
		select {
		case b := <-s.under:
			time.Sleep(s.wait())
			if _, err := s.Conn.Write(b); err != nil {
				return
			}
		case <-s.gone:
			return
		}
	}
}

// Write makes slow a [net.Conn].
func (s *slow) Write(b []byte) (int, error) {
	select {
	case s.under <- bytes.Clone(b):
		return len(b), nil
	case <-s.gone:
		return 0, net.ErrClosed
	}
}

// Close makes slow a [net.Conn].
func (s *slow) Close() error {
	s.close()
	return s.Conn.Close()
}

func (w *world) connect() jetstream.JetStream { return w.connectBy(&line{w: w}) }

func (w *world) connectBy(l *line) jetstream.JetStream {
	nc, err := nats.Connect("", nats.InProcessServer(l), nats.MaxReconnects(-1))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		w.Fatal(err)
	}
	return js
}

// hire runs a worker until the test ends.
func (w *world) hire(name string, l *line, change ...func(*consumer.Config)) {
	cfg := consumer.Config{Trust: task.TrustBroker, Name: name, Logger: slog.New(&w.log)}
	for _, f := range change {
		f(&cfg)
	}
	worker, err := consumer.New(w.Context(), w.connectBy(l), w.tasks(), cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("worker %s: %v", name, err)
		}
	})
	<-worker.Ready()
}

// chore is a job of a story: it lasts, and so many attempts fail.
type chore struct {
	Name  string
	Lasts time.Duration
	Fails int
}

var (
	act   = task.Define[chore, string]("story.act")
	after = task.Define[task.Outcome, task.None]("story.after")
)

func (w *world) tasks() *registry.Registry {
	reg := registry.New()
	registry.Handle(reg, act, func(ctx context.Context, _ task.Object, in chore) (string, error) {
		w.start(in.Name)
		select {
		case <-time.After(in.Lasts):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		if job, _ := task.JobFrom(ctx); job.Attempt <= in.Fails {
			return "", task.Fail("doomed", "as it was asked to")
		}
		return in.Name, nil
	})
	registry.Handle(reg, after, func(_ context.Context, _ task.Object, of task.Outcome) (task.None, error) {
		w.start("after " + of.ID)
		return task.None{}, nil
	})
	return reg
}

// start notes that a function has begun.
func (w *world) start(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts[name] = append(w.starts[name], time.Now())
}

func (w *world) started(name string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.starts[name])
}

// queue queues a call as jane.
func queue[Out any](w *world, call task.Call[Out]) *producer.Job[Out] {
	w.Helper()
	job, err := producer.Enqueue(task.WithUser(w.Context(), jane), w.client, call)
	if err != nil {
		w.Fatal(err)
	}
	return job
}

// outcome is the one that is recorded of a job, once it is, within a time.
func (w *world) outcome(id string, within time.Duration) *task.Record {
	w.Helper()
	var all []*task.Record
	w.comes(within, func() bool { all = w.outcomes(id); return len(all) > 0 })
	if len(all) != 1 {
		w.Fatalf("job %s has %d outcomes after %v, want 1: %s", id, len(all), time.Since(w.began), told(all))
	}
	return all[0]
}

// comes says whether something comes true within a time.
func (w *world) comes(within time.Duration, is func() bool) bool {
	pause := 10 * time.Millisecond
	for until := time.Now().Add(within); !is(); time.Sleep(pause) {
		if time.Now().After(until) {
			return false
		}
		pause = min(2*pause, 5*time.Second)
	}
	return true
}

func (w *world) outcomes(id string) []*task.Record {
	w.Helper()
	var all []*task.Record
	for m, err := range w.broker.Range(w.Context(), w.broker.Outcomes(), w.broker.Fence("default", jane.Owner(), id), 0) {
		if err != nil {
			w.Fatal(err)
		}
		if s := w.broker.ReadStanding(m); s.Record != nil {
			all = append(all, s.Record)
		}
	}
	return all
}

// told says what records are, in messages.
func told(all []*task.Record) []string {
	var said []string
	for _, r := range all {
		said = append(said, fmt.Sprintf("%s by %q at %v", r.End, r.Worker, r.Ended))
	}
	return said
}

// drained waits until no job is left in the streams.
func (w *world) drained(within time.Duration) {
	w.Helper()
	var left uint64
	empty := w.comes(within, func() bool {
		var err error
		if left, err = w.broker.Left(w.Context()); err != nil {
			w.Fatal(err)
		}
		return left == 0
	})
	if !empty {
		w.Fatalf("%d messages are left after %v", left, time.Since(w.began))
	}
}

// passes waits until a time, from the beginning on.
func (w *world) passes(d time.Duration) { time.Sleep(time.Until(w.began.Add(d))) }

// upTo draws a time.
func (w *world) upTo(d time.Duration) time.Duration {
	w.drawing.Lock()
	defer w.drawing.Unlock()
	return time.Duration(w.rng.Int64N(int64(d)))
}

// tally counts what is logged, by level and text.
type tally struct {
	mu    sync.Mutex
	lines map[string]int
}

// Enabled makes tally a [slog.Handler].
func (t *tally) Enabled(context.Context, slog.Level) bool { return true }

// Handle makes tally a [slog.Handler].
func (t *tally) Handle(_ context.Context, r slog.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = make(map[string]int)
	}
	t.lines[r.Level.String()+" "+r.Message]++
	return nil
}

// WithAttrs makes tally a [slog.Handler].
func (t *tally) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup makes tally a [slog.Handler].
func (t *tally) WithGroup(string) slog.Handler { return t }

// take returns what was counted and begins anew.
func (t *tally) take() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	t.lines = nil
	return lines
}
