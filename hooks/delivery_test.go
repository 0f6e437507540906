package hooks_test

import (
	"context"
	"errors"
	"net/url"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/task"
)

func TestAFailingHandlerGetsItsOutcomeAgainBeforeAnyOther(t *testing.T) {
	t.Parallel()
	for story, fail := range map[string]func() error{
		"an error":              func() error { return errors.New("the mail server is away") },
		"a panic":               func() error { panic("ouch") },
		"an exit of goroutines": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			o, d := newOffice(t), newDesk()
			var log journal
			failed := false
			o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, out task.Outcome) error {
				d <- out.ID
				if failed {
					return nil
				}
				failed = true
				return fail()
			}}, hooks.Config{Durable: "mailer", Logger: log.logger()})
			o.succeed(t, "J1", "J2")
			d.holds(t, "J1", "J1", "J2")
			if lines := log.lines("WARN", "id=J1", "try=1"); len(lines) != 1 {
				t.Errorf("%d warnings, want 1", len(lines))
			}
		})
	}
}

func TestAHandlerThatKeepsFailingIsGivenUpAfterFiveTries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the pauses add up to 15 s")
	}
	o, d := newOffice(t), newDesk()
	var log journal
	began := time.Now()
	o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, out task.Outcome) error {
		d <- out.ID
		if out.ID == "J1" {
			return errors.New("the mail server is away")
		}
		return nil
	}}, hooks.Config{Durable: "mailer", Logger: log.logger()})
	o.succeed(t, "J1", "J2")
	d.holds(t, "J1", "J1", "J1", "J1", "J1", "J2")
	d.isEmpty(t)
	if took := time.Since(began); took < 14*time.Second {
		t.Errorf("five tries took %v, want pauses of 1, 2, 4 and 8 s", took)
	}
	if lines := log.lines("ERROR", "id=J1", "the mail server is away"); len(lines) != 1 {
		t.Errorf("%d error lines, want 1", len(lines))
	}
}

func TestARecordThatCannotBeReadIsPassedOver(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	var log journal
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer", Logger: log.logger()})
	other := ended("J9", task.Succeeded)
	for id, data := range map[string][]byte{"J1": {0xdd, 0xff, 0xff, 0xff, 0xff}, "J2": nil, "J3": other.Encode()} {
		_, err := o.js.Publish(t.Context(), o.b.Names.Outcome("default", "succeeded", alice.Owner(), id), data)
		must(t, err)
	}
	o.succeed(t, "J4")
	d.holds(t, "J4")
	d.isEmpty(t)
	if lines := log.lines("WARN", "cannot be read"); len(lines) != 3 {
		t.Errorf("%d lines tell of 3 unreadable records", len(lines))
	}
}

// What a server says has no body and a header Status, and so has what anybody may publish who may cancel.
func TestARecordThatLooksLikeAWordOfTheServersIsPassedOver(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	var log journal
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer", Logger: log.logger()})
	statuses := []string{"100", "204", "400", "404", "408", "409", "503"}
	for _, status := range statuses {
		msg := nats.NewMsg(o.b.Names.Outcome("default", "cancelled", alice.Owner(), "J"+status))
		msg.Header.Set("Status", status)
		_, err := o.js.PublishMsg(t.Context(), msg)
		must(t, err)
	}
	o.succeed(t, "J1")
	d.holds(t, "J1")
	d.isEmpty(t)
	if len(log.lines("WARN", "cannot be read")) == 0 { // one a second and code
		t.Error("no line tells of unreadable records")
	}
}

func TestALongHandlerKeepsItsOutcome(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	cfg := hooks.Config{Durable: "mailer"}
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, cfg).Stop()
	const lease = 3 * time.Second
	shorten(t, o, "mailer", lease)

	release := make(chan struct{})
	o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, out task.Outcome) error {
		d <- out.ID
		<-release
		return nil
	}}, cfg)
	o.succeed(t, "J1")
	d.holds(t, "J1")
	// Another subscriber would get it as soon as the lease ran out.
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, cfg)
	timer := time.NewTimer(2 * lease)
	defer timer.Stop()
	<-timer.C
	close(release)
	o.succeed(t, "J2")
	d.holds(t, "J2")
	d.isEmpty(t)
}

// shorten makes the time short after which an outcome comes again.
func shorten(t testing.TB, o *office, durable string, lease time.Duration) {
	t.Helper()
	c, err := o.js.Consumer(t.Context(), o.b.Outcomes(), durable)
	must(t, err)
	cfg := c.CachedInfo().Config
	cfg.AckWait = lease
	_, err = o.js.UpdateConsumer(t.Context(), o.b.Outcomes(), cfg)
	must(t, err)
}

func TestStopWaitsForTheHandlerAndLeavesTheNextOutcome(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	cfg := hooks.Config{Durable: "mailer"}
	started, release := make(chan struct{}), make(chan struct{})
	sub := o.subscribe(t, hooks.Handlers{Success: func(ctx context.Context, out task.Outcome) error {
		close(started)
		<-release
		d <- out.ID
		return ctx.Err()
	}}, cfg)
	o.succeed(t, "J1", "J2")
	next(t, started)
	stopped := make(chan struct{})
	go func() {
		sub.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("Stop did not wait for the handler")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	next(t, stopped)
	d.holds(t, "J1")
	d.isEmpty(t)

	o.subscribe(t, hooks.Handlers{Success: d.note("again ")}, cfg)
	d.holds(t, "again J2")
	d.isEmpty(t)
}

func TestAConsumerThatWasDeletedIsMadeAgainWhereItWas(t *testing.T) {
	t.Parallel()
	for _, durable := range []string{"mailer", ""} {
		for _, handled := range []bool{true, false} {
			o, d := newOffice(t), newDesk()
			var log journal
			o.succeed(t, "J0")
			o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: durable, Logger: log.logger()})
			if handled {
				o.succeed(t, "J1")
				d.holds(t, "J1")
			}
			for _, name := range consumers(t, o) {
				must(t, o.js.DeleteConsumer(t.Context(), o.b.Outcomes(), name))
			}
			o.succeed(t, "J2", "J3")
			d.holds(t, "J2", "J3")
			d.isEmpty(t)
			if lines := log.lines("WARN", "not listening"); len(lines) != 1 {
				t.Errorf("durable %q: %d lines tell of the one cause: %q", durable, len(lines), lines)
			}
		}
	}
}

func TestAServerThatWasAwayLosesNothing(t *testing.T) {
	t.Parallel()
	cfg := embedded.Config{StoreDir: t.TempDir(), Port: -1}
	srv := startServer(t, cfg)
	at, err := url.Parse(srv.URL())
	must(t, err)
	cfg.Port, err = strconv.Atoi(at.Port())
	must(t, err)
	dial := func() (*nats.Conn, error) {
		return nats.Connect(srv.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	}
	o := openOffice(t, connect(t, dial))
	d := newDesk()
	listener := connect(t, dial)
	t.Cleanup(listener.Close)
	js, err := jetstream.New(listener)
	must(t, err)
	sub, err := hooks.Subscribe(t.Context(), js, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer"})
	must(t, err)
	t.Cleanup(sub.Stop)
	o.succeed(t, "J1")
	d.holds(t, "J1")
	eventually(t, "J1 is done with", func() bool {
		c, err := o.js.Consumer(t.Context(), o.b.Outcomes(), "mailer")
		return err == nil && c.CachedInfo().NumAckPending == 0
	})

	shutDown(t, srv)
	srv = startServer(t, cfg)
	o.succeed(t, "J2", "J3")
	var got string
	for got != "J3" { // J1 may come again if the server lost its acknowledgement
		got = next(t, d)
	}
	d.isEmpty(t)
}

func TestAClosedConnectionEndsTheSubscriptionQuietly(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	sub := o.subscribe(t, hooks.Handlers{Success: d.note(""), Started: func(context.Context, task.Event) {}}, hooks.Config{Durable: "mailer"})
	o.succeed(t, "J1")
	d.holds(t, "J1")
	o.b.Conn().Close()
	sub.Stop()
}

func TestSubscribingNeedsAServerInTime(t *testing.T) {
	t.Parallel()
	srv := startServer(t, embedded.Config{Port: -1})
	nc := connect(t, func() (*nats.Conn, error) { return nats.Connect(srv.URL(), nats.MaxReconnects(-1)) })
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	shutDown(t, srv)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	d := newDesk()
	if _, err := hooks.Subscribe(ctx, js, hooks.Handlers{Success: d.note("")}, hooks.Config{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one that is its context's", err)
	}
}
