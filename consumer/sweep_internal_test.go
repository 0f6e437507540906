package consumer

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// A schedule that is set again, as it lies in the stream with all the server added to it,
// fires at once.
func TestAnOverdueScheduleThatIsSetAgainFires(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	at := stream.Subject{Queue: "default", Owner: "anon", ID: "late"}
	if _, err := w.broker.Publish(t.Context(), w.broker.Schedule(at, time.Now().Add(time.Hour), nats.Header{}, []byte("job"))); err != nil {
		t.Fatal(err)
	}
	m, err := w.broker.Last(t.Context(), w.broker.Later(), w.broker.LaterJob(at.Queue, at.Owner, at.ID))
	if err != nil || m == nil {
		t.Fatalf("the schedule is %v, %v", m, err)
	}
	if until, ok := stream.ScheduledFor(m); !ok || time.Until(until) < 50*time.Minute {
		t.Errorf("it is for %v, %v", until, ok)
	}
	w.setAgain(t.Context(), m)
	for stop := time.Now().Add(20 * time.Second); ; {
		due, err := w.broker.Last(t.Context(), w.broker.Later(), w.broker.DueJob(at.Queue, at.Owner, at.ID))
		if err != nil {
			t.Fatal(err)
		}
		if due != nil {
			if string(due.Data) != "job" {
				t.Errorf("what came is %q", due.Data)
			}
			return
		}
		if time.Now().After(stop) {
			t.Fatal("it did not fire")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A lane that was set behind some messages stands for one whose server remembers their acks
// and forgot to remove them.
func TestWhatWasAckedAndIsStillThereIsRemovedIfItIsDoneWith(t *testing.T) {
	t.Parallel()
	l := newLeft(t)
	l.queue("default", "ended")
	l.queue("default", "open")
	l.queue("later", "moved")
	l.queue("later", "taken")
	l.ack("default", l.queue("default", "waits")-1)
	l.ack("system", l.queue("later", "late")-1)
	ended := task.Record{Outcome: task.Outcome{ID: "ended", Task: "t", Queue: "default", End: task.Succeeded}}
	at := l.w.broker.Outcome("default", stream.KindSucceeded, "anon", "ended")
	l.publish(stream.Fenced(at, l.w.broker.Fence("default", "anon", "ended"), 0, ended.Encode()))
	l.publish(l.w.broker.Schedule(stream.Subject{Queue: "default", Owner: "anon", ID: "moved"}, time.Now().Add(time.Hour), nats.Header{}, []byte("job")))
	l.w.sweepAcked(t.Context())
	l.holds("default", "open", "waits")
	l.holds("later", "taken", "late")
	if !l.log.tells("level=ERROR", "id=open") || !l.log.tells("level=ERROR", "id=taken") || l.log.tells("level=ERROR", "id=moved") {
		t.Error("the log does not tell which jobs are lost")
	}
}

// In a cluster the removal comes after the ack: between the two nothing is wrong.
func TestWhatWasAckedAndIsRemovedSoonIsNotLost(t *testing.T) {
	t.Parallel()
	l := newLeft(t)
	seq := l.queue("default", "acked")
	l.ack("default", seq)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		l.w.sweepAcked(t.Context())
	}()
	for stop := time.Now().Add(20 * time.Second); !l.log.tells("looking again"); time.Sleep(time.Millisecond) {
		if time.Now().After(stop) {
			t.Fatal("it was not seen")
		}
	}
	if err := l.w.broker.Delete(t.Context(), l.w.broker.Jobs(), seq); err != nil {
		t.Fatal(err)
	}
	<-swept
	if l.log.tells("level=ERROR") || l.log.tells("level=INFO", "is removed") {
		t.Error("the log tells of a job that is well")
	}
}

// left is a worker that finds what was acked and is still there.
type left struct {
	t   *testing.T
	w   *Worker
	log *journal
}

func newLeft(t *testing.T) *left {
	t.Helper()
	l := &left{t: t, log: &journal{}}
	l.w = idleWorker(t, 1, func(c *Config) {
		c.Lease = 2 * time.Second
		c.Logger = slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	return l
}

func (l *left) publish(m *nats.Msg) uint64 {
	l.t.Helper()
	seq, err := l.w.broker.Publish(l.t.Context(), m)
	if err != nil {
		l.t.Fatal(err)
	}
	return seq
}

func (l *left) queue(lane, id string) uint64 {
	l.t.Helper()
	return l.publish(&nats.Msg{Subject: l.w.broker.Job("default", lane, "anon", id), Data: []byte("job")})
}

// ack sets a lane behind all messages up to a sequence.
func (l *left) ack(lane string, upTo uint64) {
	l.t.Helper()
	reset := "$JS.API.CONSUMER.RESET." + l.w.broker.Jobs() + "." + stream.Consumer("default", lane)
	if _, err := l.w.broker.Conn().RequestWithContext(l.t.Context(), reset, fmt.Appendf(nil, `{"seq":%d}`, upTo+1)); err != nil {
		l.t.Fatal(err)
	}
}

// holds waits until these jobs alone lie in a lane.
func (l *left) holds(lane string, want ...string) {
	l.t.Helper()
	var got []string
	for stop := time.Now().Add(20 * time.Second); time.Now().Before(stop); time.Sleep(5 * time.Millisecond) {
		got = nil
		for m, err := range l.w.broker.Range(l.t.Context(), l.w.broker.Jobs(), l.w.broker.LaneFilter("default", lane), 0) {
			if err != nil {
				l.t.Fatal(err)
			}
			at, _ := l.w.broker.ParseJob(m.Subject)
			got = append(got, at.ID)
		}
		if slices.Equal(got, want) {
			return
		}
	}
	l.t.Errorf("in the lane %s lie %q, want %q", lane, got, want)
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

// tells says whether a line has all parts.
func (j *journal) tells(parts ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}
