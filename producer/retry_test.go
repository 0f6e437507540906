package producer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestRetryQueuesTheSameCallUnderANewID(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	inner := task.Spec{Task: task.ParallelBatch, Mode: task.Parallel, Members: []task.Spec{add.On("/b", args{3, 4}).OnSuccess(tell).Spec()}}
	batch := task.Spec{Task: task.SerialBatch, Mode: task.Serial, Members: []task.Spec{create.On("/a", "x").Spec(), inner}}
	old := enqueue(t, w.client, task.CallOf[task.Raw](batch).With(task.WithID("nightly"), task.Timeout(time.Minute)).OnFailure(alert.At("/c")))
	was := w.run(t, "default", "default", func(r *task.Record) {
		failure("timeout")(r)
		r.Envelope = decode(t, w.stored(t, r.Outcome)).Encode()
	})
	again, err := w.client.Retry(t.Context(), old.ID())
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() == old.ID() || !task.Whole(again.ID()) {
		t.Errorf("the new ID is %s", again.ID())
	}
	st := wantState(t, again.Status, task.StatePending)
	if st.Parent != old.ID() || st.User != alice {
		t.Errorf("status is %+v", st)
	}
	is := decode(t, w.pull(t, "default", "default").Data())
	sameCall(t, was, is)
	want := []string{again.ID(), again.ID() + ".1", again.ID() + ".2", again.ID() + ".2.1", again.ID() + ".2.1.cb.1", again.ID() + ".cb.1"}
	if d := cmp.Diff(want, ids(t, is)); d != "" {
		t.Errorf("IDs: %s", d)
	}
	if cb := decode(t, is.Callbacks[0]); cb.After != again.ID() || cb.Parent != again.ID()+".cb" {
		t.Errorf("callback follows %s in %s", cb.After, cb.Parent)
	}
}

// stored is the message of a job that was pulled.
func (w *world) stored(t *testing.T, o task.Outcome) []byte {
	t.Helper()
	m, err := w.broker.Last(t.Context(), w.broker.Jobs(), w.broker.Job(o.Queue, "*", o.User.Owner(), o.ID))
	if err != nil || m == nil {
		t.Fatalf("message %v, %v", m, err)
	}
	return m.Data
}

func sameCall(t *testing.T, was, is *task.Envelope) {
	t.Helper()
	if d := cmp.Diff(was, is, cmpopts.IgnoreFields(task.Envelope{}, "ID", "Parent", "After", "Issued", "Members", "Callbacks")); d != "" {
		t.Errorf("envelope: %s", d)
	}
	for i := range was.Members {
		sameCall(t, decode(t, was.Members[i]), decode(t, is.Members[i]))
	}
	for i := range was.Callbacks {
		sameCall(t, decode(t, was.Callbacks[i]), decode(t, is.Callbacks[i]))
	}
}

func ids(t *testing.T, e *task.Envelope) []string {
	t.Helper()
	all := []string{e.ID}
	for _, body := range e.Members {
		all = append(all, ids(t, decode(t, body))...)
	}
	for _, body := range e.Callbacks {
		all = append(all, ids(t, decode(t, body))...)
	}
	return all
}

func TestOnlyAFailedJobCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	succeeded := enqueue(t, w.client, create.On("", "x"))
	w.run(t, "docs", "default", nil)
	failed := enqueue(t, w.client, create.On("", "x"))
	w.run(t, "docs", "default", failure("timeout"))
	pending := enqueue(t, w.client, create.On("", "x"))
	for story, id := range map[string]string{
		"succeeded": succeeded.ID(), "failed without its envelope": failed.ID(), "pending": pending.ID(),
		"a member": failed.ID() + ".1", "no ID": "a b",
	} {
		if job, err := w.client.Retry(t.Context(), id); err == nil {
			t.Errorf("%s: it is queued as %s", story, job.ID())
		}
	}
	_, err := w.client.Retry(t.Context(), task.NewID())
	wantErr(t, err, producer.ErrNoSuchJob)
	if n := w.jobs(t, "docs"); n != 1 {
		t.Errorf("%d jobs", n)
	}
}
