package consumer

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
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
