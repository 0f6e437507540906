package producer_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestACancelledJobThatWaitedIsGone(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, create.On("/plone", "x"))
	delayed := enqueue(t, w.client, create.On("/plone", "y", task.Delay(time.Hour)))
	moved := enqueue(t, w.client, create.On("/plone", "z", task.InQueue("default"), task.Delay(time.Hour)))
	w.schedule(t, "default")
	for _, j := range []*producer.Job[string]{job, delayed, moved} {
		if err := w.client.Cancel(t.Context(), j.ID()); err != nil {
			t.Fatal(err)
		}
		if err := j.Cancel(t.Context()); err != nil {
			t.Errorf("cancelling again: %v", err)
		}
		_, err := j.Wait(t.Context())
		wantErr(t, err, task.ErrCancelled)
		st := wantState(t, j.Status, task.StateCompleted)
		if o := st.Outcome; o.End != task.Cancelled || o.User != alice || o.Task != "doc.create" || o.Object != "/plone" || o.Worker != "" || o.Ended.IsZero() {
			t.Errorf("outcome is %+v", o)
		}
	}
	if n := w.jobs(t, "docs") + w.jobs(t, "default"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if n, err := w.broker.Count(t.Context(), w.broker.Later(), w.broker.LaterFilter()); n != 0 || err != nil {
		t.Errorf("%d schedules are left, %v", n, err)
	}
}

func TestTheMessageOfARunningJobStaysForItsWorker(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, create.On("", "x"))
	heard, err := w.js.Conn().SubscribeSync(w.broker.Record("docs", stream.KindCancelled, alice.Owner(), job.ID()))
	if err != nil {
		t.Fatal(err)
	}
	e := decode(t, w.pull(t, "docs", "default").Data())
	w.claim(t, e, task.Claim{Worker: "w1", State: task.ClaimRunning, Attempts: 1, Started: time.Now()})
	if err := job.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.NextMsg(patience); err != nil {
		t.Errorf("the worker heard nothing: %v", err)
	}
	if n := w.jobs(t, "docs"); n != 1 {
		t.Errorf("%d messages are left, want the running one", n)
	}
	// Its outcome comes too late: the worker's claim is no longer the last record.
	late := stream.Fenced(w.broker.Names.Outcome("docs", stream.KindSucceeded, alice.Owner(), e.ID), w.broker.Fence("docs", alice.Owner(), e.ID), 1, nil)
	_, err = w.broker.Publish(t.Context(), late)
	wantErr(t, err, stream.ErrFenced)
}

func TestWhatHasEndedCannotBeCancelled(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, create.On("", "x"))
	w.run(t, "docs", "default", nil)
	wantErr(t, job.Cancel(t.Context()), producer.ErrCompleted)
	wantErr(t, w.client.Cancel(t.Context(), job.ID()), producer.ErrCompleted)
}

func TestCancelAndRunCannotBothWin(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	for range 30 {
		job := enqueue(t, w.client, create.On("", "x", task.WithoutQuota()))
		var (
			both      sync.WaitGroup
			cancelled = make([]error, 3)
			recorded  atomic.Bool
		)
		both.Go(func() {
			r := &task.Record{Outcome: task.Outcome{ID: job.ID(), Task: "doc.create", Queue: "docs", User: alice, End: task.Succeeded}}
			value("done")(r)
			_, err := w.broker.Publish(t.Context(), stream.Fenced(
				w.broker.Names.Outcome("docs", stream.KindSucceeded, alice.Owner(), job.ID()),
				w.broker.Fence("docs", alice.Owner(), job.ID()), 0, r.Encode()))
			recorded.Store(err == nil)
		})
		for i := range cancelled {
			both.Go(func() { cancelled[i] = job.Cancel(t.Context()) })
		}
		both.Wait()
		o, err := job.Outcome(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if recorded.Load() != (o.End == task.Succeeded) {
			t.Errorf("recorded %t, outcome %s", recorded.Load(), o.End)
		}
		for _, err := range cancelled {
			if recorded.Load() {
				wantErr(t, err, producer.ErrCompleted)
			} else if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAMemberOfASerialBatchIsCancelledWithItsBatch(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, task.CallOf[task.Raw](task.Spec{Task: task.SerialBatch, Mode: task.Serial, Members: []task.Spec{add.On("", args{}).Spec()}}))
	if err := w.client.Cancel(t.Context(), job.ID()+".1"); err == nil {
		t.Error("the member was cancelled")
	}
	if err := job.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAForgedMessageIsNotCancelledInAnothersName(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	e, err := create.On("", "x").Spec().Seal(task.Sealing{User: bob, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	msg := &nats.Msg{Subject: w.broker.Job("docs", "default", alice.Owner(), e.ID), Data: e.Encode()}
	if _, err := w.broker.Publish(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Cancel(t.Context(), e.ID); err == nil {
		t.Error("it was cancelled")
	}
	st, err := w.client.Status(t.Context(), e.ID)
	if err != nil || st.Task != "" || st.User != (task.User{}) {
		t.Errorf("status is %+v, %v", st, err)
	}
}
