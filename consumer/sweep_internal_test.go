package consumer

import (
	"fmt"
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

// A lane that was set behind two messages stands for one whose server remembers their acks
// and forgot to remove them.
func TestWhatWasAckedAndIsStillThereIsRemovedOnceItHasAnOutcome(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	ctx := t.Context()
	queue := func(id string) uint64 {
		seq, err := w.broker.Publish(ctx, &nats.Msg{Subject: w.broker.Job("default", "default", "anon", id), Data: []byte("job")})
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	queue("ended")
	last := queue("open")
	queue("waits")
	reset := "$JS.API.CONSUMER.RESET." + w.broker.Jobs() + "." + stream.Consumer("default", "default")
	if _, err := w.broker.Conn().RequestWithContext(ctx, reset, fmt.Appendf(nil, `{"seq":%d}`, last+1)); err != nil {
		t.Fatal(err)
	}
	ended := task.Record{Outcome: task.Outcome{ID: "ended", Task: "t", Queue: "default", End: task.Succeeded}}
	at := w.broker.Outcome("default", stream.KindSucceeded, task.User{}.Owner(), "ended")
	if _, err := w.broker.Publish(ctx, stream.Fenced(at, w.broker.Fence("default", task.User{}.Owner(), "ended"), 0, ended.Encode())); err != nil {
		t.Fatal(err)
	}
	w.sweepAcked(ctx)
	for stop := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n, err := w.broker.Count(ctx, w.broker.Jobs(), w.broker.LaneFilter("default", "default"))
		if err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			break
		}
		if time.Now().After(stop) {
			t.Fatalf("%d jobs are there, want the two that have not ended", n)
		}
	}
	left, err := w.broker.Last(ctx, w.broker.Jobs(), w.broker.Job("default", "default", "anon", "ended"))
	if err != nil || left != nil {
		t.Errorf("the job that ended is %v, %v", left, err)
	}
}
