package stream_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/clock"
	"github.com/natsasync/natsasync/internal/stream"
)

// Tests that set the clock set it for the whole process, so they do not run beside others.

var wrongClocks = map[string]time.Duration{
	"a day fast": 24 * time.Hour, "a day slow": -24 * time.Hour, "minutes fast": 7 * time.Minute, "minutes slow": -7 * time.Minute,
	"before 1970": -100 * 365 * 24 * time.Hour,
}

func setClock(t *testing.T, by time.Duration) {
	t.Helper()
	clock.Shift(by)
	t.Cleanup(func() { clock.Shift(0) })
}

// tellsTime says whether a time is the server's, which is this process's own without a shift.
func tellsTime(t *testing.T, when string, got time.Time) {
	t.Helper()
	if off := time.Since(got.Round(0)); off.Abs() > 900*time.Millisecond {
		t.Errorf("%s it is off by %v", when, off)
	}
}

func TestF25AWrongClockKnowsTheServersTime(t *testing.T) {
	for name, by := range wrongClocks {
		t.Run(name, func(t *testing.T) {
			setClock(t, by)
			b := newBroker(t, "default")
			tellsTime(t, "after Open", b.Now())
			tellsTime(t, "for a decision", b.SureNow(t.Context()))
		})
	}
}

func TestF25ARightClockStaysAsItIs(t *testing.T) {
	b := newBroker(t, "default")
	for range 20 {
		if _, err := b.Lanes(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
		before := clock.Now()
		got := b.Now()
		if after := clock.Now(); got.Before(before) || got.After(after) {
			t.Fatalf("it is %v between %v and %v", got, before, after)
		}
	}
}

func TestF25AClockThatIsSetChangesNothing(t *testing.T) {
	b := newBroker(t, "default")
	for _, by := range wrongClocks {
		setClock(t, by)
		tellsTime(t, "at once", b.Now())
		tellsTime(t, "after the server was asked", b.SureNow(t.Context()))
		tellsTime(t, "later", b.Now())
	}
	clock.Shift(0)
	tellsTime(t, "set right again", b.Now())
}

func TestF25AClockThatIsSetWhileTheServerIsAwayChangesNothing(t *testing.T) {
	srv := startServer(t)
	b := open(t, connect(t, srv), stream.Config{Queues: []string{"default"}})
	srv.Shutdown()
	setClock(t, 24*time.Hour)
	tellsTime(t, "without an answer", b.SureNow(t.Context()))
}

func TestF25AClockThatIsOffIsSaidOnce(t *testing.T) {
	var said bytes.Buffer
	js := connect(t, startServer(t))
	setClock(t, -7*time.Minute)
	b := open(t, js, stream.Config{Queues: []string{"default"}, Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	for range 3 {
		if _, err := b.Lanes(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(said.String(), "the clock of this machine is off"); n != 1 || !strings.Contains(said.String(), "off=-7m0") && !strings.Contains(said.String(), "off=-6m59") {
		t.Errorf("it is said %d times:\n%s", n, said.String())
	}
}

func TestF25TheTimeCostsNoAllocation(t *testing.T) {
	b := newBroker(t, "default")
	if n := testing.AllocsPerRun(100, func() { b.Now(); b.SureNow(t.Context()) }); n != 0 {
		t.Errorf("it takes %v allocations", n)
	}
}
