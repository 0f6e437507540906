package hooks_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come, on a busy machine.
const patience = time.Minute

// soon ends after the test's patience.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

var alice = task.User{Realm: "/plone/acl_users", ID: "alice"}

// office is a server with streams, and a worker's pen.
type office struct {
	js jetstream.JetStream
	b  *stream.Broker
}

func newOffice(t testing.TB) *office {
	t.Helper()
	srv := startServer(t, embedded.Config{})
	return openOffice(t, connect(t, func() (*nats.Conn, error) { return srv.Connect() }))
}

// connect tries again, for on a busy machine the 2 s are few that a connection may take.
func connect(t testing.TB, try func() (*nats.Conn, error)) (nc *nats.Conn) {
	t.Helper()
	var err error
	for range 10 {
		if nc, err = try(); err == nil {
			break
		}
	}
	must(t, err)
	return nc
}

func openOffice(t testing.TB, nc *nats.Conn) *office {
	t.Helper()
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	b, err := stream.Open(soon(t), js, stream.Config{Queues: []string{"default", "docs"}})
	must(t, err)
	return &office{js, b}
}

func startServer(t testing.TB, cfg embedded.Config) *embedded.Server {
	t.Helper()
	srv, err := embedded.Start(cfg)
	must(t, err)
	t.Cleanup(func() { shutDown(t, srv) })
	return srv
}

func shutDown(t testing.TB, srv *embedded.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}

// record writes an outcome as a worker does.
func (o *office) record(t testing.TB, r task.Record) {
	t.Helper()
	if r.Queue == "" {
		r.Queue = "default"
	}
	r.User = alice
	owner := r.User.Owner()
	msg := o.b.Fenced(o.b.Names.Outcome(r.Queue, string(r.End), owner, r.ID), o.b.Fence(r.Queue, owner, r.ID), 0, r.Encode())
	_, err := o.b.Publish(t.Context(), msg)
	must(t, err)
}

func (o *office) succeed(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		o.record(t, ended(id, task.Succeeded))
	}
}

func ended(id string, end task.End) task.Record {
	r := task.Record{Outcome: task.Outcome{ID: id, Task: "doc.create", Object: "/plone/folder", End: end, Attempt: 1, Worker: "w"}}
	if end == task.Failed {
		r.Failure = &task.Failure{Code: "out_of_stock", Message: "none left"}
	}
	return r
}

func (o *office) subscribe(t testing.TB, h hooks.Handlers, cfg hooks.Config) *hooks.Subscription {
	t.Helper()
	sub, err := hooks.Subscribe(soon(t), o.js, h, cfg)
	must(t, err)
	t.Cleanup(sub.Stop)
	return sub
}

// desk is where handlers put what they get.
type desk chan string

func newDesk() desk { return make(desk, 1000) }

func (d desk) note(what string) func(context.Context, task.Outcome) error {
	return func(_ context.Context, o task.Outcome) error {
		d <- what + o.ID
		return nil
	}
}

// holds waits until all of want has come, in this order.
func (d desk) holds(t testing.TB, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, next(t, d))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was handled (-want +got):\n%s", diff)
	}
}

// isEmpty says so when more came than was waited for.
func (d desk) isEmpty(t testing.TB) {
	t.Helper()
	for len(d) > 0 {
		t.Errorf("%q was handled too", <-d)
	}
}

func next[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}

// journal is a log that can be read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// lines are those that contain all parts.
func (j *journal) lines(parts ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprintf("J%d", i))
	}
	return ids
}
