package stream_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/internal/stream"
)

func newNames(t interface {
	Helper()
	Fatal(...any)
}, namespace string,
) stream.Names {
	t.Helper()
	n, err := stream.NewNames(namespace)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSubjectsAreReadAsTheyWereFormed(t *testing.T) {
	t.Parallel()
	token := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,63}`)
	rapid.Check(t, func(t *rapid.T) {
		n := newNames(t, token.Draw(t, "namespace"))
		queue, lane, owner := token.Draw(t, "queue"), token.Draw(t, "lane"), rapid.StringMatching(`[a-z2-7]{16}|anon`).Draw(t, "owner")
		kind := rapid.SampledFrom([]string{stream.KindSucceeded, stream.KindFailed, stream.KindCancelled, stream.KindClaimed}).Draw(t, "kind")
		id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}(\.(cb|[1-9][0-9]?)){0,3}`).Draw(t, "id")
		same := func(got stream.Subject, ok bool, want stream.Subject) {
			if !ok || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, ok, want)
			}
		}
		s, ok := n.ParseJob(n.Job(queue, lane, owner, id))
		same(s, ok, stream.Subject{Queue: queue, Lane: lane, Owner: owner, ID: id})
		for _, subject := range []string{n.Outcome(queue, kind, owner, id), n.Record(queue, kind, owner, id)} {
			s, ok = n.ParseOutcome(subject)
			same(s, ok, stream.Subject{Queue: queue, Kind: kind, Owner: owner, ID: id})
		}
		for _, subject := range []string{n.LaterJob(queue, owner, id), n.DueJob(queue, owner, id)} {
			s, ok = n.ParseLater(subject)
			same(s, ok, stream.Subject{Queue: queue, Owner: owner, ID: id})
		}
	})
}

func TestSubjectsOfOthersAreNotRead(t *testing.T) {
	t.Parallel()
	ours, theirs := newNames(t, ""), newNames(t, "theirs")
	if s, ok := ours.ParseJob(theirs.Job("q", "free", "anon", "1")); ok {
		t.Errorf("read a job of another namespace: %+v", s)
	}
	for _, subject := range []string{"", "natsasync", ours.Keel(), "natsasync.job.q.free.anon", "natsasync.job.q.free.anon.", "natsasync.job..free.anon.1", "natsasync.event.q.lanes"} {
		if s, ok := ours.ParseJob(subject); ok {
			t.Errorf("%q was read as a job: %+v", subject, s)
		}
		if s, ok := ours.ParseOutcome(subject); ok {
			t.Errorf("%q was read as a record: %+v", subject, s)
		}
		if s, ok := ours.ParseLater(subject); ok {
			t.Errorf("%q was read as a schedule: %+v", subject, s)
		}
	}
}

func TestASubjectWithATokenOfNobodysMakingIsNotRead(t *testing.T) {
	t.Parallel()
	n := newNames(t, "")
	const owner = "e24jdy6rvneugqda"
	for _, tokens := range [][4]string{
		{"*", "free", owner, "1"},
		{"q", "*", owner, "1"},
		{"q", "free", "*", "1"},
		{"q", "free", owner, "*"},
		{"q", "free", owner, ">"},
		{"Q", "free", owner, "1"},
		{"q", "Free", owner, "1"},
		{"q", "free", owner + "a", "1"},
		{"q", "free", strings.ToUpper(owner), "1"},
		{"q", "free", "e14jdy6rvneugqda", "1"},
		{"q", "free", owner, "1.0"},
		{"q", "free", owner, "1.x"},
		{"q", "free", owner, "1.2."},
		{strings.Repeat("q", 65), "free", owner, "1"},
		{"q", strings.Repeat("l", 65), owner, "1"},
		{"q", "free", owner, strings.Repeat("1", 65)},
		{"q", "free", owner, "1" + strings.Repeat(".1", 65)},
	} {
		queue, second, owner, id := tokens[0], tokens[1], tokens[2], tokens[3]
		if s, ok := n.ParseJob(n.Job(queue, second, owner, id)); ok {
			t.Errorf("%q was read as a job: %+v", tokens, s)
		}
		if s, ok := n.ParseOutcome(n.Outcome(queue, second, owner, id)); ok {
			t.Errorf("%q was read as a record: %+v", tokens, s)
		}
		if s, ok := n.ParseLater(n.DueJob(queue, owner, id)); ok && second == "free" {
			t.Errorf("%q was read as a schedule: %+v", tokens, s)
		}
	}
}

func TestNamesAreThoseOfTheDesign(t *testing.T) {
	t.Parallel()
	n := newNames(t, "my-app")
	got := []string{
		n.Namespace(), n.Jobs(), n.Later(), n.Outcomes(), n.Rejected(),
		n.Job("q", "free", "o", "1.2"), n.JobFilter(), n.QueueFilter("q"), n.LaneFilter("q", "smtp"), n.LaterJob("q", "o", "1"), n.DueJob("q", "o", "1"),
		n.LaterFilter(), n.DueFilter(), n.Outcome("q", "failed", "o", "1"), n.Fence("q", "o", "1"), n.OutcomeFilter("*", "failed"),
		n.Record("q", "failed", "o", "1"), n.Note("o", "1"), n.Event("q", "started", "o", "1"), n.LanesEvent("q"), n.RejectedSubject("unsigned"),
		n.Keel(), stream.Consumer("q", "smtp"), stream.Consumer("q", stream.LaneCallbacks), stream.Consumer("q", stream.LaneLater), stream.DueConsumer,
	}
	want := []string{
		"my-app", "MY-APP_JOBS", "MY-APP_LATER", "MY-APP_OUTCOMES", "MY-APP_REJECTED",
		"my-app.job.q.free.o.1.2", "my-app.job.>", "my-app.job.q.>", "my-app.job.q.smtp.>", "my-app.later.q.o.1", "my-app.due.q.o.1",
		"my-app.later.*.*.>", "my-app.due.>", "my-app.outcome.q.failed.o.1", "my-app.outcome.q.*.o.1", "my-app.outcome.*.failed.>",
		"my-app.record.q.failed.o.1", "my-app.note.o.1", "my-app.event.q.started.o.1", "my-app.event.q.lanes", "my-app.rejected.unsigned",
		"my-app.keel", "q_smtp", "q_system", "q_system", "due",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadNamespaceSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ namespace, says string }{
		{"a.b", `(try "a-b")`},
		{"Jobs", `(try "jobs")`},
		{"-x", `(try "x")`},
		{"*", "(give it a name)"},
		{"a_b", `(try "a-b")`},
		{strings.Repeat("a", 65), "at most 64"},
	} {
		_, err := stream.NewNames(test.namespace)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "namespace") {
			t.Errorf("namespace %q: got %v, want it to say %s", test.namespace, err, test.says)
		}
	}
}
