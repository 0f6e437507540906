package hooks_test

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Whoever may cancel can write that a job is cancelled after it has succeeded. Its handlers
// are told only once the server has said that it stands, which it does not say here.
func TestACancellationThatIsNotLookedAtIsToldToNobody(t *testing.T) {
	t.Parallel()
	srv := startServer(t, embedded.Config{Port: -1})
	nc, err := srv.Connect()
	must(t, err)
	o, d := openOffice(t, nc), newDesk()
	line := &line{asked: make(chan struct{}, 1000), kept: make(chan struct{}, 1000)}
	theirs, err := nats.Connect(srv.URL(), nats.SetCustomDialer(line))
	must(t, err)
	t.Cleanup(theirs.Close)
	js, err := jetstream.New(theirs)
	must(t, err)
	var log journal
	h := hooks.Handlers{Success: d.note("done "), Cancelled: d.note("cancelled ")}
	cfg := hooks.Config{Durable: "mailer", Logger: log.logger()}
	o.subscribe(t, h, cfg).Stop()
	shorten(t, o, "mailer", 2*time.Second)
	sub, err := hooks.Subscribe(t.Context(), js, h, cfg)
	must(t, err)
	t.Cleanup(sub.Stop)
	o.succeed(t, "J1")
	d.holds(t, "done J1")

	line.cut.Store(true)
	r := ended("J1", task.Cancelled)
	r.Queue, r.User = "default", alice
	_, err = o.js.Publish(t.Context(), o.b.Names.Outcome("default", stream.KindCancelled, alice.Owner(), "J1"), r.Encode())
	must(t, err)
	next(t, line.asked)
	next(t, line.kept)
	sub.Stop()
	d.isEmpty(t)

	o.subscribe(t, h, cfg)
	o.succeed(t, "J2")
	d.holds(t, "done J2")
	d.isEmpty(t)
	if lines := log.lines("WARN", "passed over", "had ended before"); len(lines) != 1 {
		t.Errorf("%d lines tell of the cancellation, want 1", len(lines))
	}
}

// line is a connection on which, once it is cut, no question for a record gets through. It
// tells of each of them, and of each time that a lease is kept.
type line struct {
	net.Conn
	cut         atomic.Bool
	asked, kept chan struct{}
}

func (l *line) Dial(network, address string) (net.Conn, error) {
	var err error
	l.Conn, err = net.Dial(network, address)
	return l, err
}

func (l *line) Write(b []byte) (int, error) {
	if !l.cut.Load() {
		return l.Conn.Write(b)
	}
	if bytes.Contains(b, []byte("STREAM.MSG.GET")) {
		l.asked <- struct{}{}
		return len(b), nil
	}
	if bytes.Contains(b, []byte("+WPI")) {
		l.kept <- struct{}{}
	}
	return l.Conn.Write(b)
}
