package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestNothingOfATxIsVisibleBeforeItsCommit(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	now := enqueue(t, tx, create.On("/plone", "a"))
	later := enqueue(t, tx, create.On("/plone", "b", task.Delay(time.Hour)))
	enqueue(t, tx, add.On("", args{}))

	st := wantState(t, now.Status, task.StatePending)
	if st.Task != "doc.create" || st.Object != "/plone" || st.User != alice || st.Quota != "default" {
		t.Errorf("status is %+v", st)
	}
	wantState(t, later.Status, task.StateScheduled)
	_, err := now.Wait(t.Context())
	wantErr(t, err, producer.ErrStaged)
	wantErr(t, now.Cancel(t.Context()), producer.ErrStaged)
	_, err = w.client.Status(t.Context(), now.ID())
	wantErr(t, err, producer.ErrNoSuchJob)
	wantLen(t, tx.Queue("docs"), 2)
	wantLen(t, w.client.Queue("docs"), 0)

	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLen(t, tx.Queue("docs"), 2)
	wantLen(t, w.client.Queue("docs"), 2)
	wantState(t, now.Status, task.StatePending)
	if err := tx.Commit(t.Context()); err != nil {
		t.Errorf("committing again: %v", err)
	}
	tx.Abort()
	wantLen(t, w.client.Queue("docs"), 2)
	if _, err := producer.Enqueue(t.Context(), tx, add.On("", args{})); err == nil {
		t.Error("a committed Tx took a call")
	}
}

func wantLen(t *testing.T, q *producer.Queue, want int) {
	t.Helper()
	n, err := q.Len(t.Context())
	if err != nil || n != want {
		t.Fatalf("queue %s has %d jobs, %v; want %d", q.Name(), n, err, want)
	}
}

func TestAnAbortedTxLeavesNothing(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	job := enqueue(t, tx, add.On("", args{}))
	tx.Abort()
	_, err := job.Wait(t.Context())
	wantErr(t, err, producer.ErrAborted)
	_, err = job.Status(t.Context())
	wantErr(t, err, producer.ErrAborted)
	_, err = job.Outcome(t.Context())
	wantErr(t, err, producer.ErrAborted)
	wantErr(t, job.Cancel(t.Context()), producer.ErrAborted)
	_, err = job.OnSuccess(as(t, alice), tell)
	wantErr(t, err, producer.ErrAborted)
	wantErr(t, tx.Commit(t.Context()), producer.ErrAborted)
	_, err = producer.Enqueue(t.Context(), tx, add.On("", args{}))
	wantErr(t, err, producer.ErrAborted)
	wantLen(t, tx.Queue("default"), 0)
	if n := w.jobs(t, "default"); n != 0 {
		t.Errorf("%d jobs were queued", n)
	}
}

func TestATxIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	enqueue(t, w.client, add.On("", args{}, task.WithID("taken")))
	for place := range 3 {
		tx := w.client.Begin()
		for i := range 3 {
			call := add.On("", args{})
			if i == place {
				call = call.With(task.WithID("taken"))
			}
			enqueue(t, tx, call)
		}
		err := tx.Commit(t.Context())
		if err == nil || !strings.Contains(err.Error(), `"taken"`) {
			t.Errorf("with the taken ID at place %d: error is %v", place, err)
		}
		tx.Abort()
	}
	tx := w.client.Begin()
	enqueue(t, tx, add.On("", args{}))
	enqueue(t, tx, create.On("", "x", task.InQueue("nowhere")))
	err := tx.Commit(t.Context())
	wantErr(t, err, producer.ErrNoSuchQueue)
	if !strings.Contains(err.Error(), "docs") {
		t.Errorf("the error names no queue that exists: %v", err)
	}
	if n := w.jobs(t, "default"); n != 1 {
		t.Errorf("%d jobs, want only the one that was there", n)
	}
}

func TestCommittingAgainAfterAWhileOfNoAnswerIsSafe(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	calls := []task.Call[int]{add.On("", args{}, task.WithID("one")), add.On("", args{}, task.WithID("two"))}
	for range 2 {
		tx := w.client.Begin()
		for _, call := range calls {
			enqueue(t, tx, call)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.jobs(t, "default"); n != 2 {
			t.Fatalf("%d jobs, want 2", n)
		}
	}
	// One has run by the time of the third try.
	w.run(t, "default", "default", nil)
	tx := w.client.Begin()
	for _, call := range calls {
		enqueue(t, tx, call)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.jobs(t, "default"); n != 1 {
		t.Fatalf("%d jobs, want the one that has not run", n)
	}
}

func TestATxWithoutAnAnswerStaysUnknown(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	enqueue(t, tx, add.On("", args{}))
	enqueue(t, tx, add.On("", args{}))
	down, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(down); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	wantErr(t, tx.Commit(short), producer.ErrUnknown)
	tx.Abort()
	if _, err := producer.Enqueue(t.Context(), tx, add.On("", args{})); err == nil || errors.Is(err, producer.ErrAborted) {
		t.Errorf("a Tx that was sent took a call or was aborted: %v", err)
	}
}

func TestCallbacksAddedBeforeCommitBelongToTheJob(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	job := enqueue(t, tx, add.On("/plone", args{1, 2}).OnSuccess(tell))
	late, err := job.OnFailure(as(t, alice), alert)
	if err != nil {
		t.Fatal(err)
	}
	if want := job.ID() + ".cb.2"; late.ID() != want {
		t.Errorf("the callback is %s, want %s", late.ID(), want)
	}
	_, err = job.OnDone(as(t, bob), audit)
	wantErr(t, err, task.ErrUnauthorized)
	wantState(t, late.Status, task.StatePending)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := wantState(t, late.Status, task.StatePending)
	if st.Task != "mail.alert" || st.Object != "/plone" {
		t.Errorf("status is %+v", st)
	}
	e := decode(t, w.pull(t, "default", "default").Data())
	if len(e.Callbacks) != 2 {
		t.Fatalf("%d callbacks", len(e.Callbacks))
	}
	last := decode(t, e.Callbacks[1])
	if last.Task != "mail.alert" || last.When != task.WhenFailed || last.Take != task.TakeFailure || last.Object != "/plone" {
		t.Errorf("callback is %+v", last)
	}
}

func TestATxHoldsAThousandCallsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	var all sync.WaitGroup
	for g := range 10 {
		all.Go(func() {
			for i := range 100 {
				call := add.On("", args{}, task.WithID(fmt.Sprintf("job-%d-%d", g, i)))
				if _, err := producer.Enqueue(t.Context(), tx, call); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := producer.Enqueue(t.Context(), tx, add.On("", args{})); err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("the 1,001st call: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.jobs(t, "default"); n != 1000 {
		t.Errorf("%d jobs", n)
	}
}

func TestATxTakesAnIDOnce(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	tx := w.client.Begin()
	enqueue(t, tx, add.On("", args{}, task.WithID("one")))
	if _, err := producer.Enqueue(t.Context(), tx, add.On("", args{}, task.WithID("one"))); err == nil || !strings.Contains(err.Error(), `"one"`) {
		t.Errorf("error is %v", err)
	}
	if err := w.client.Begin().Commit(t.Context()); err != nil {
		t.Errorf("an empty Tx: %v", err)
	}
}
