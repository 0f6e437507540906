package trust_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func wantAmbiguous(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, producer.ErrAmbiguous) {
		t.Errorf("%s: error is %v", what, err)
	}
}

// With a key that speaks for her alone, alice queues jobs with the IDs of bob's.
func TestNobodyStandsForAJobByItsID(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	own := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: own.Public(), Name: "alice", Users: []task.User{alice}})
	s.trust = task.TrustKeys(s.keys...)
	s.work()
	web, hers := s.producer(s.web), s.producer(own)
	succeeds(s, queue(s, web, bob, say.On("", "bob's result", task.WithID("invoice-42"))))
	succeeds(s, queue(s, hers, alice, say.On("", "alice's lie", task.WithID("invoice-42"))))
	_, err := result(s, producer.Find[string](web, "invoice-42"))
	wantAmbiguous(t, "wait", err)
	if out, err := producer.Find[string](web, "invoice-42").Wait(as(t.Context(), bob)); out != "bob's result" || err != nil {
		t.Errorf("bob sees %q, %v", out, err)
	}

	slow := queue(s, web, bob, linger.On("", "bob's", task.WithID("invoice-43"), task.WithoutQuota()))
	short := queue(s, hers, alice, say.On("", "alice's lie", task.WithID("invoice-43"), task.WithoutQuota()))
	succeeds(s, short)
	wantAmbiguous(t, "cancel", web.Cancel(t.Context(), "invoice-43"))
	if o, err := slow.Outcome(t.Context()); o != nil || err != nil {
		t.Errorf("bob's job has the outcome %v, %v", o, err)
	}
	if err := web.Cancel(as(t.Context(), bob), "invoice-43"); err != nil {
		t.Fatal(err)
	}
	if _, err := result(s, slow); !errors.Is(err, task.ErrCancelled) {
		t.Errorf("bob's job: %v", err)
	}
	if out := succeeds(s, short); out != "alice's lie" {
		t.Errorf("alice's job: %q", out)
	}
}

// alice may cancel her own jobs, in queues that do not exist too. What she stores under the ID of bob's keeps from it
// those alone who do not say whose it is, and tells them so at once.
func TestNobodyBuriesAJobUnderItsID(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	job := queue(f.site, f.client("web"), bob, linger.On("", "bob's", task.WithoutQuota()))
	hers := f.connect("alice")
	for i := range 1000 {
		if err := hers.Publish(f.broker.Outcome(fmt.Sprintf("q%d", i), stream.KindCancelled, alice.Owner(), job.ID()), []byte("no record")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hers.Request(f.broker.Outcome("last", stream.KindCancelled, alice.Owner(), job.ID()), []byte("no record"), patience); err != nil {
		t.Fatal(err)
	}
	ops, waiter := f.client("ops"), f.client("waiter")
	err := ops.Cancel(t.Context(), job.ID())
	wantAmbiguous(t, "cancel", err)
	if err != nil && !strings.Contains(err.Error(), "--as REALM:ID") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	found := producer.Find[string](waiter, job.ID())
	if st, err := found.Status(as(t.Context(), bob)); err != nil || st.User != bob {
		t.Errorf("bob's job is %+v, %v", st, err)
	}
	if err := ops.Cancel(as(t.Context(), bob), job.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := found.Wait(as(t.Context(), bob)); !errors.Is(err, task.ErrCancelled) {
		t.Errorf("bob's job: %v", err)
	}
	if _, err := found.Outcome(as(t.Context(), alice)); !errors.Is(err, producer.ErrAmbiguous) {
		t.Errorf("alice looks for a job of hers: %v", err)
	}
}

// record is the success of a job as a worker of a queue would record it.
func (s *site) record(queue string, u task.User, id, result string) *nats.Msg {
	s.t.Helper()
	value, err := task.Marshal(result)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &task.Record{Outcome: task.Outcome{
		ID: id, Task: "doc.say", Queue: queue, User: u, End: task.Succeeded, Value: value,
		Attempt: 1, Queued: time.Now(), Started: time.Now(), Ended: time.Now(), Worker: "w",
	}}
	return &nats.Msg{Subject: s.broker.Names.Outcome(queue, stream.KindSucceeded, u.Owner(), id), Data: r.Encode(), Header: nats.Header{}}
}

// The key of a queue's workers cannot speak for the job of another queue, and what is
// signed by nobody who may say so does not even make its ID ambiguous.
func TestAQueuesKeyDoesNotStandForAJobOfAnotherQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mail, stranger := newSigner(t), newSigner(t)
	s.keys = append(s.keys, task.Key{Public: mail.Public(), Name: "mail", Works: []string{"mail"}})
	s.trust = task.TrustKeys(s.keys...)
	s.work()
	web := s.producer(s.web)
	publish := func(m *nats.Msg) {
		t.Helper()
		if _, err := s.broker.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	job := queue(s, web, bob, say.On("", "true", task.WithID("order-7")))
	succeeds(s, job)
	found := func() (string, error) { return result(s, producer.Find[string](web, "order-7")) }

	publish(s.record("mail", bob, "order-7", "unsigned"))
	byStranger := s.record("mail", alice, "order-7", "of a stranger")
	s.sign(byStranger, stranger, "", 0)
	publish(byStranger)
	e, unsigned := s.sealed(alice, "order-7", task.InQueue("mail"))
	publish(unsigned)
	if out, err := found(); out != "true" || err != nil {
		t.Errorf("beside what counts for nothing: %q, %v", out, err)
	}

	byMail := s.record("mail", bob, "order-7", "a lie")
	s.sign(byMail, mail, "", 0)
	publish(byMail)
	_, err := found()
	wantAmbiguous(t, "beside the word of a worker of mail", err)
	if out := succeeds(s, job); out != "true" {
		t.Errorf("the handle of Enqueue has %q", out)
	}
	if st, err := web.Status(as(t.Context(), alice), e.ID); !errors.Is(err, producer.ErrAmbiguous) {
		t.Errorf("alice, who has no job that counts, sees %+v, %v", st, err)
	}
}

// A login that NATS bounds to its user's subjects sees that user's jobs and no others.
func TestABoundLoginIsNotConfusedByOthersIDs(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	bobs, alices := f.client("bob"), f.client("alice")
	succeeds(f.site, queue(f.site, bobs, bob, say.On("", "bob's", task.WithID("invoice-42"))))
	succeeds(f.site, queue(f.site, alices, alice, say.On("", "alice's", task.WithID("invoice-42"))))
	for c, want := range map[*producer.Client]string{bobs: "bob's", alices: "alice's"} {
		if out := succeeds(f.site, producer.Find[string](c, "invoice-42")); out != want {
			t.Errorf("got %q, want %q", out, want)
		}
	}
	_, err := result(f.site, producer.Find[string](f.client("waiter"), "invoice-42"))
	wantAmbiguous(t, "a waiter for everybody", err)

	// Of what is hers in two queues alice is told as well.
	queue(f.site, alices, alice, say.On("", "alice's", task.WithID("invoice-42"), task.InQueue("mail")))
	_, err = result(f.site, producer.Find[string](alices, "invoice-42"))
	wantAmbiguous(t, "alice", err)
}
