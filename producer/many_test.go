package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestManyCallsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	calls := make([]task.Call[int], 3000)
	for i := range calls {
		calls[i] = add.On("", args{i, 0})
	}
	jobs, err := producer.EnqueueAll(as(t, alice), w.client, calls)
	if err != nil || len(jobs) != len(calls) {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	i := 0
	for m, err := range w.broker.Range(t.Context(), w.broker.Jobs(), w.broker.QueueFilter("default"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e := decode(t, m.Data); e.ID != jobs[i].ID() {
			t.Fatalf("place %d has %s, want %s", i, e.ID, jobs[i].ID())
		}
		i++
	}
	if i != len(calls) {
		t.Errorf("%d jobs are stored", i)
	}
	none, err := producer.EnqueueAll(as(t, alice), w.client, []task.Call[int](nil))
	if len(none) != 0 || err != nil {
		t.Errorf("no calls: %v, %v", none, err)
	}
}

func TestWhatIsRefusedOfManyIsNamed(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	calls := []task.Call[string]{create.On("", "x"), create.On("", "x", task.InQueue("nowhere")), create.On("", "y")}
	jobs, err := producer.EnqueueAll(as(t, alice), w.client, calls)
	wantErr(t, err, producer.ErrNoSuchQueue)
	if !strings.Contains(err.Error(), "call 2") {
		t.Errorf("error is %v", err)
	}
	if len(jobs) != 3 || jobs[0] == nil || jobs[1] != nil || jobs[2] == nil {
		t.Errorf("jobs are %v", jobs)
	}
	if n := w.jobs(t, "docs"); n != 2 {
		t.Errorf("%d jobs", n)
	}
}

func TestManyWithoutAnAnswerKeepTheirHandles(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	down, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(down); err != nil {
		t.Fatal(err)
	}
	calls := make([]task.Call[int], 2000)
	for i := range calls {
		calls[i] = add.On("", args{i, 0})
	}
	short, stop := context.WithTimeout(t.Context(), 2*time.Second) // long enough to seal all, on a busy machine too
	defer stop()
	jobs, err := producer.EnqueueAll(short, w.client, calls)
	wantErr(t, err, producer.ErrUnknown)
	if len(jobs) != len(calls) || jobs[0] == nil {
		t.Fatalf("%d jobs", len(jobs))
	}
	if jobs[len(jobs)-1] != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the last was never sent: %v, %v", jobs[len(jobs)-1], err)
	}
	if len(err.Error()) > 10_000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestManyCallsForAQueueThatIsNotThereAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	calls := make([]task.Call[int], 300)
	for i := range calls {
		calls[i] = add.On("", args{i, 0}).With(task.InQueue("nowhere"))
	}
	calls[200] = add.On("", args{200, 0})
	long, cancel := context.WithTimeout(as(t, alice), time.Minute)
	defer cancel()
	took := 0
	requests := w.requests(t, func() {
		jobs, err := producer.EnqueueAll(long, w.client, calls)
		wantErr(t, err, producer.ErrNoSuchQueue)
		if errors.Is(err, producer.ErrUnknown) || !strings.Contains(err.Error(), "call 1:") {
			t.Errorf("error is %v", err)
		}
		for i, job := range jobs {
			if (job != nil) != (i == 200) {
				t.Errorf("job %d is %v", i, job)
			}
			if job != nil {
				took++
			}
		}
	})
	if n := w.jobs(t, "default"); n != 1 || took != 1 {
		t.Errorf("%d jobs, %d handles", n, took)
	}
	if requests > 10 {
		t.Errorf("the server was asked %d times which queues there are", requests)
	}
}

func TestOfManyCallsThatNobodyTookInTimeNoneIsUnknown(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	calls := make([]task.Call[int], 300)
	for i := range calls {
		calls[i] = add.On("", args{i, 0}).With(task.InQueue(fmt.Sprintf("nowhere-%d", i)))
	}
	short, cancel := context.WithTimeout(as(t, alice), 2*time.Second) // they are answered at once, and asking again for each takes longer
	defer cancel()
	jobs, err := producer.EnqueueAll(short, w.client, calls)
	wantErr(t, err, context.DeadlineExceeded)
	unknown := 0
	for _, job := range jobs {
		if job != nil {
			unknown++
		}
	}
	if unknown > 1 { // the one that was asked for again as the context ended
		t.Errorf("%d are said to be unknown: %v", unknown, err)
	}
}
