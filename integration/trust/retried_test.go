package trust_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Whoever tries a failed job again signs what its outcome says that it was.
func TestRetrySignsNothingThatAWorkersKeyMadeUp(t *testing.T) {
	t.Parallel()
	s, _, stolen := lender(t)
	c := s.producer(s.web)
	inDocs := func(u task.User) func(string) *task.Envelope {
		return func(id string) *task.Envelope { return s.envelope(u, id, task.InQueue("docs")) }
	}
	// What a key would have signed to queue e.
	originOf := func(e *task.Envelope, by *task.Signer) string {
		subject, body := s.broker.Job(e.Queue, e.Lane, e.User.Owner(), e.ID), e.Encode()
		return task.OriginOf([]string{by.Sign(s.broker.Installation(), subject, "", body, s.broker.Now())}, nil, subject, body)
	}
	itself := func(by *task.Signer) func(*task.Envelope) string {
		return func(e *task.Envelope) string { return originOf(e, by) }
	}
	seen := func(*task.Envelope) string { return originOf(inDocs(bob)("seen"), s.web) }
	for i, forgery := range []struct {
		name   string
		kept   func(id string) *task.Envelope
		origin func(*task.Envelope) string
		says   func(*task.Outcome)
		good   bool
	}{
		{name: "as its producer signed it", kept: inDocs(bob), origin: itself(s.web), good: true},
		{name: "that a worker made of a job of its user", kept: inDocs(bob), origin: seen, good: true},
		{name: "that nothing proves", kept: inDocs(bob), origin: func(*task.Envelope) string { return "" }},
		{name: "of somebody whose job it has not seen", kept: inDocs(alice), origin: seen},
		{name: "that only a worker signed", kept: inDocs(bob), origin: itself(stolen)},
		{name: "that a stranger signed", kept: inDocs(bob), origin: itself(newSigner(t))},
		{
			name: "of another queue", kept: func(id string) *task.Envelope { return s.envelope(bob, id) }, origin: seen,
			says: func(o *task.Outcome) { o.Queue = "docs" },
		},
		{name: "of another task", kept: inDocs(bob), origin: itself(s.web), says: func(o *task.Outcome) { o.Task = "doc.harmless" }},
		{name: "on another object", kept: inDocs(bob), origin: itself(s.web), says: func(o *task.Outcome) { o.Object = "/harmless" }},
		{name: "of another ID", kept: func(id string) *task.Envelope { return inDocs(bob)("not-" + id) }, origin: itself(s.web)},
	} {
		id := fmt.Sprint("failed-", i)
		e := forgery.kept(id)
		r := &task.Record{Envelope: e.Encode(), Outcome: task.Outcome{
			ID: id, Task: e.Task, Queue: e.Queue, User: e.User, End: task.Failed, Failure: &task.Failure{Code: "x"}, Attempt: 1,
		}}
		if forgery.says != nil {
			forgery.says(&r.Outcome)
		}
		s.put(stolen, "docs", stream.KindFailed, e.User, id, r.Encode(), forgery.origin(e))
		switch _, err := c.Retry(t.Context(), id); {
		case forgery.good && err != nil:
			t.Errorf("a failed job %s: %v", forgery.name, err)
		case !forgery.good && (err == nil || !strings.Contains(err.Error(), "keeps no envelope that can be proved")):
			t.Errorf("a failed job %s is tried again: %v", forgery.name, err)
		}
	}
}

// Without a signature the new job would be put aside, and whoever tried it would not know.
func TestASignedJobIsNotTriedAgainWithoutASigner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	job := queue(s, s.producer(s.web), alice, fail.On("", "signed"))
	if _, err := result(s, job); !isFailure(err) {
		t.Fatalf("it did not fail: %v", err)
	}
	for name, trust := range map[string]task.Trust{"with keys": s.trust, "with NATS's word": task.TrustBroker} {
		c, err := producer.New(t.Context(), s.dial(), producer.Config{Trust: trust, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Retry(t.Context(), job.ID()); err == nil || !strings.Contains(err.Error(), "it was signed") || !strings.Contains(err.Error(), "--sign") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if n := len(s.aside()); n != 0 {
		t.Errorf("%d jobs were put aside", n)
	}
}

func TestWhoeverQueuesAndWaitsMayTryAgain(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	c := f.client("alice")
	job := queue(f.site, c, alice, fail.On("", "once"))
	if _, err := result(f.site, job); !isFailure(err) {
		t.Fatalf("it did not fail: %v", err)
	}
	again, err := c.Retry(t.Context(), job.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result(f.site, again); !isFailure(err) {
		t.Errorf("tried again: %v", err)
	}
}

func TestAFailedJobCanBeTriedAgainWhicheverWayItCame(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	c := s.producer(s.web)
	for name, call := range map[string]task.Call[string]{
		"plain":     fail.On("", "plain"),
		"scheduled": fail.On("", "scheduled", task.Delay(100*time.Millisecond)),
		"put off":   fail.On("", "put off", task.WithoutQuota(), task.Retry(task.Policy{Attempts: 2, Delay: time.Millisecond, Aside: true})),
	} {
		job := queue(s, c, alice, call)
		if _, err := result(s, job); !isFailure(err) {
			t.Fatalf("%s: it did not fail: %v", name, err)
		}
		again, err := c.Retry(t.Context(), job.ID())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := result(s, again); !isFailure(err) {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

func isFailure(err error) bool {
	_, is := errors.AsType[*task.Failure](err)
	return is
}
