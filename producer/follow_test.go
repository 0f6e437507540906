package producer_test

import (
	"testing"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestALateCallbackIsAJobOfItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("/plone", args{}))
	late, err := job.OnSuccess(as(t, alice), tell)
	if err != nil {
		t.Fatal(err)
	}
	e := decode(t, w.pull(t, "default", stream.LaneSystem).Data())
	if e.ID != late.ID() || !task.Whole(e.ID) || e.After != job.ID() || e.Lane != task.LaneCallbacks || e.Parent != "" {
		t.Errorf("envelope is %+v", e)
	}
	if e.Task != "mail.sum" || e.Object != "/plone" || e.User != alice || e.When != task.WhenSucceeded || e.Take != task.TakeValue {
		t.Errorf("envelope is %+v", e)
	}
	if st := wantState(t, late.Status, task.StateActive); st.Quota != "" || st.Queue != "default" {
		t.Errorf("status is %+v", st)
	}
}

func TestALateCallbackCanHaveAnObjectOfItsOwn(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("/plone", args{}))
	for _, at := range []task.Object{"/other", ""} {
		if _, err := job.OnFailure(as(t, alice), alert.At(at)); err != nil {
			t.Fatal(err)
		}
		e := decode(t, w.run(t, "default", stream.LaneSystem, nil).Encode())
		if e.Object != at || e.When != task.WhenFailed || e.Take != task.TakeFailure {
			t.Errorf("envelope is %+v", e)
		}
	}
	if _, err := job.OnDone(as(t, alice), audit.At("/a//b")); err == nil {
		t.Error("a bad object was taken")
	}
	if _, err := job.OnDone(as(t, alice), audit.At("", task.InQueue("docs"))); err == nil {
		t.Error("another queue was taken")
	}
}

func TestOnlyTheJobsOwnUserMayAddCallbacks(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("/plone", args{}))
	found := producer.Find[int](w.client, job.ID())
	for _, j := range []*producer.Job[int]{job, found} {
		_, err := j.OnSuccess(as(t, bob), tell)
		wantErr(t, err, task.ErrUnauthorized)
		_, err = j.OnSuccess(t.Context(), tell)
		wantErr(t, err, task.ErrUnauthorized)
	}
	w.run(t, "default", "default", value(1))
	if _, err := found.OnSuccess(as(t, alice), tell); err != nil {
		t.Errorf("after the job has ended: %v", err)
	}
	e := decode(t, w.pull(t, "default", stream.LaneSystem).Data())
	if e.Object != "/plone" || e.After != job.ID() || e.Queue != "default" {
		t.Errorf("envelope is %+v", e)
	}
	_, err := producer.Find[int](w.client, task.NewID()).OnSuccess(as(t, alice), tell)
	wantErr(t, err, producer.ErrNoSuchJob)
}
