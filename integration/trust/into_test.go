package trust_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// To queue into a queue is no right to end what others queued there.
func TestWhoMayQueueIntoAQueueEndsNoJobOfIt(t *testing.T) {
	t.Parallel()
	s, mail, _ := lender(t)
	c := s.producer(s.web)
	job := queue(s, c, alice, say.On("", "true", task.InQueue("mail")))
	forged := &task.Record{
		Outcome: task.Outcome{ID: job.ID(), Task: say.Name(), Queue: "mail", User: alice, End: task.Failed, Failure: &task.Failure{Code: "forged"}},
		Queues:  [][]byte{s.envelope(alice, "inside").Encode()},
	}
	s.put(s.docs, "mail", stream.KindFailed, alice, job.ID(), forged.Encode())
	s.work()
	s.workMail(mail)
	if out := succeeds(s, job); out != "true" {
		t.Errorf("it ended with %q", out)
	}
	s.put(s.docs, "mail", stream.KindFailed, alice, job.ID(), forged.Encode())
	if out, err := result(s, producer.Find[string](c, job.ID())); err != nil || out != "true" {
		t.Errorf("a record after its end changed that to %q, %v", out, err)
	}
	succeeds(s, queue(s, c, alice, say.On("", "behind what may follow")))
	if s.count("say inside alice") > 0 {
		t.Error("what the record asked for was queued")
	}
}

// Whoever waits for a job that could not be queued learns of it, and it stays so.
func TestAJobOfAJobThatCannotBeQueuedFailsWhereItsParentRan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.keys[1].Into = []string{"mail", "nowhere"}
	s.trust = task.TrustKeys(s.keys...)
	c := s.producer(s.web)
	failed := func(id, in string) {
		t.Helper()
		_, err := result(s, producer.Find[string](c, id))
		f, is := errors.AsType[*task.Failure](err)
		if !is || f.Code != "no_such_queue" || !strings.Contains(f.Message, "queue "+in) {
			t.Fatalf("job %s: %v", id, err)
		}
		if o, err := producer.Find[string](c, id).Outcome(t.Context()); err != nil || o.Queue != "docs" {
			t.Errorf("its outcome: %v, %v", o, err)
		}
	}

	// The worker died when it had found so, and the queue is there when the job comes to the next one.
	inner := s.envelope(alice, "inner", task.InQueue("mail"))
	outer, m := s.sealed(alice, "outer", task.InQueue("docs"))
	s.sign(m, s.web, "", 0)
	if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.put(s.docs, "docs", stream.KindSucceeded, alice, outer.ID, succeeded(alice, "docs", outer.ID, inner.Encode()))
	unqueued := &task.Record{Outcome: task.Outcome{
		ID: inner.ID, Parent: outer.ID, Task: inner.Task, Queue: "docs", User: alice, End: task.Failed,
		Failure: &task.Failure{Code: "no_such_queue", Message: "queue mail: there is none"},
	}}
	s.put(s.docs, "docs", stream.KindFailed, alice, inner.ID, unqueued.Encode())
	s.handOut("docs", "default")

	s.work()
	failed(succeeds(s, queue(s, c, alice, spawn.On("", "nowhere", task.InQueue("docs")))), "nowhere")
	s.gone(m.Subject)
	failed(inner.ID, "mail")
	if n, err := s.broker.Count(t.Context(), s.broker.Jobs(), s.broker.QueueFilter("mail")); err != nil || n != 0 {
		t.Errorf("%d jobs are in the queue after all: %v", n, err)
	}
}

// handOut takes the first job of a lane, as a worker that dies does.
func (s *site) handOut(queue, lane string) {
	s.t.Helper()
	c, err := s.js.Consumer(s.t.Context(), s.broker.Jobs(), stream.Consumer(queue, lane))
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := c.Fetch(1, jetstream.FetchMaxWait(patience))
	if err != nil {
		s.t.Fatal(err)
	}
	for m := range got.Messages() {
		if err := m.Nak(); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := errors.Join(got.Error(), s.js.Conn().Flush()); err != nil && !errors.Is(err, nats.ErrTimeout) {
		s.t.Fatal(err)
	}
}
