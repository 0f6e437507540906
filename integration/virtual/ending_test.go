package virtual_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestF30WhoeverEndsAJobFromOutsideOverwritesNoOutcome(t *testing.T) {
	const jobs, longest = 6, 400 * time.Millisecond
	ends := map[task.End]int{}
	inVirtualTime(t, seeds(50, 500), 2*time.Second, func(w *world) {
		// What one reads is old when it writes: every connection is slow, in its own way.
		slowly := func() time.Duration { return w.upTo(15 * time.Millisecond) }
		w.hire("worker", &line{w: w, wait: slowly})
		var clients []*producer.Client
		for range 2 {
			c, err := producer.New(w.Context(), w.connectBy(&line{w: w, wait: slowly}), producer.Config{BindOnly: true, Logger: quiet})
			if err != nil {
				w.Fatal(err)
			}
			clients = append(clients, c)
		}
		var racing sync.WaitGroup
		var ids []string
		for i := range jobs {
			in := chore{Name: fmt.Sprint("job ", i), Lasts: w.upTo(longest), Fails: i % 3}
			call := act.On("", in, task.WithoutQuota(), task.Retry(task.Policy{Attempts: 3, Delay: 20 * time.Millisecond, Aside: i%2 == 0}))
			if i%4 == 3 {
				in.Fails = 0
				call = act.On("", in, task.Delay(time.Second))
			}
			id := queue(w, call.OnDone(after)).ID()
			ids = append(ids, id)
			for _, c := range clients {
				start := w.upTo(4 * longest)
				racing.Go(func() {
					time.Sleep(start)
					w.cancels(c, id)
				})
			}
			racing.Go(func() { w.reads(id) })
			if i%4 == 3 {
				racing.Go(func() { w.sweeps(id, 2*longest) })
			}
		}
		racing.Wait()
		for i, id := range ids {
			end := w.outcome(id, time.Minute)
			ends[end.End]++
			if n := len(w.started(fmt.Sprint("job ", i))); end.End == task.Succeeded && n != end.Attempt {
				w.Errorf("job %d started %d times in %d attempts", i, n, end.Attempt)
			}
		}
		w.drained(time.Minute)
		for _, id := range ids {
			end, ran := w.outcome(id, 0), len(w.started("after "+id))
			if (end.End == task.Cancelled) != (ran == 0) {
				w.Errorf("job %s %s and its callback ran %d times", id, end.End, ran)
			}
		}
	})
	t.Log(ends)
	if least := (ends[task.Cancelled] + ends[task.Succeeded]) / 10; ends[task.Cancelled] < least || ends[task.Succeeded] < least {
		t.Errorf("these races have no two winners: %v", ends)
	}
}

// cancels cancels a job and asserts that what it is told is what is recorded.
func (w *world) cancels(c *producer.Client, id string) {
	err := c.Cancel(w.Context(), id)
	end := w.outcomes(id)
	switch {
	case err == nil && len(end) == 1 && end[0].End == task.Cancelled:
	case errors.Is(err, producer.ErrCompleted) && len(end) == 1 && end[0].End != task.Cancelled:
	default:
		w.Errorf("cancel job %s: %v, and recorded is %s", id, err, told(end))
	}
}

// reads reads the outcome of a job until well after its end, and asserts that it stays.
func (w *world) reads(id string) {
	var first []byte
	for range 12 {
		switch all := w.outcomes(id); {
		case len(all) > 1:
			w.Errorf("job %s has %d outcomes", id, len(all))
			return
		case len(all) == 1 && first == nil:
			first = all[0].Encode()
		case first != nil && (len(all) == 0 || !bytes.Equal(first, all[0].Encode())):
			w.Errorf("the outcome of job %s changed: %s", id, told(all))
			return
		}
		time.Sleep(w.upTo(250 * time.Millisecond))
	}
}

// sweeps is what a worker does with a schedule that is overdue, with a pause between its
// look and its write in which the job may have run and ended.
func (w *world) sweeps(id string, longest time.Duration) {
	b := w.broker
	var m *stream.Message
	w.comes(5*time.Second, func() bool {
		var err error
		m, err = b.Last(w.Context(), b.Later(), b.LaterJob("default", jane.Owner(), id))
		return err != nil || m != nil
	})
	if m == nil {
		return // it was cancelled before
	}
	due, _ := stream.ScheduledFor(m)
	time.Sleep(due.Sub(b.Now()) + w.upTo(longest))
	at := stream.Subject{Queue: "default", Owner: jane.Owner(), ID: id}
	header := nats.Header{}
	for k, v := range m.Header {
		header[k] = v
	}
	if _, err := b.Publish(w.Context(), b.Schedule(at, b.Now(), header, m.Data)); err != nil {
		w.Errorf("set the schedule of job %s again: %v", id, err)
	}
}
