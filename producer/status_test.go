package producer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestAStatusFollowsItsJob(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, create.On("/plone/folder", "x"))
	st := wantState(t, job.Status, task.StatePending)
	want := task.Status{ID: job.ID(), Task: "doc.create", Queue: "docs", Quota: "default", Object: "/plone/folder", User: alice, State: task.StatePending, Queued: st.Queued}
	if d := cmp.Diff(want, st); d != "" || time.Since(st.Queued) > time.Minute {
		t.Errorf("status: %s", d)
	}

	msg := w.pull(t, "docs", "default")
	e := decode(t, msg.Data())
	if st = wantState(t, job.Status, task.StateActive); st.Attempt != 1 {
		t.Errorf("attempt is %d", st.Attempt)
	}
	began, next := time.Now().UTC().Truncate(time.Microsecond), time.Now().Add(time.Minute).UTC().Truncate(time.Microsecond)
	w.claim(t, e, task.Claim{Worker: "w1", State: task.ClaimRetrying, Attempts: 1, Started: began, NotBefore: next})
	st = wantState(t, job.Status, task.StateRetrying)
	if st.Attempt != 1 || st.Worker != "w1" || !st.Started.Equal(began) || !st.NotBefore.Equal(next) {
		t.Errorf("status is %+v", st)
	}
	w.claim(t, e, task.Claim{Worker: "w2", State: task.ClaimRunning, Attempts: 1, Started: began})
	if st = wantState(t, job.Status, task.StateActive); st.Attempt != 2 || st.Worker != "w2" {
		t.Errorf("status is %+v", st)
	}
	w.claim(t, e, task.Claim{Worker: "w2", State: task.ClaimReturned, Attempts: 1})
	wantState(t, job.Status, task.StatePending)

	notes := task.Notes{Progress: 0.4, Values: map[string][]byte{"step": {0x01}}}
	body, err := notes.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.broker.Publish(t.Context(), &nats.Msg{Subject: w.broker.Note(alice.Owner(), e.ID), Data: body}); err != nil {
		t.Fatal(err)
	}
	if st = wantState(t, job.Status, task.StatePending); st.Progress != 0.4 || len(st.Notes["step"]) != 1 {
		t.Errorf("status is %+v", st)
	}

	w.end(t, e, nil)
	// The message is still there: what is recorded counts.
	if st = wantState(t, job.Status, task.StateCompleted); st.Outcome == nil || st.Worker != "w1" || st.Progress != 0.4 {
		t.Errorf("status is %+v", st)
	}
	found, err := w.client.Status(t.Context(), job.ID())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(st, found); d != "" {
		t.Errorf("found by its ID alone: %s", d)
	}
}

func TestADelayedJobIsScheduledThenPending(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	due := time.Now().Add(6 * time.Second)
	job := enqueue(t, w.client, create.On("", "x", task.NotBefore(due)))
	st := wantState(t, job.Status, task.StateScheduled)
	if st.Quota != "default" || st.NotBefore.Sub(due).Abs() > time.Millisecond {
		t.Errorf("status is %+v", st)
	}
	w.schedule(t, "docs")
	wantState(t, job.Status, task.StateScheduled)
	wantLen(t, w.client.Queue("docs"), 1)

	consumer, err := w.js.Consumer(t.Context(), w.broker.Later(), "due")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if st := wantState(t, job.Status, task.StatePending); st.ID != job.ID() || st.Queue != "docs" {
		t.Errorf("status is %+v", st)
	}
	wantLen(t, w.client.Queue("docs"), 1)
	moved := &nats.Msg{Subject: w.broker.Job("docs", "default", alice.Owner(), job.ID()), Data: msg.Data()}
	if _, err := w.broker.Publish(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantState(t, job.Status, task.StatePending)
	wantLen(t, w.client.Queue("docs"), 1)
	w.pull(t, "docs", "default")
	wantState(t, job.Status, task.StateActive)
	wantLen(t, w.client.Queue("docs"), 0)
}
