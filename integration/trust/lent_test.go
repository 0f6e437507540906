package trust_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// lender is a site with a worker of mail, beside that of default and docs, and a stolen key that works docs.
func lender(t *testing.T) (s *site, mail, stolen *task.Signer) {
	t.Helper()
	s = newSite(t)
	mail, stolen = newSigner(t), newSigner(t)
	s.keys = append(s.keys,
		task.Key{Public: mail.Public(), Name: "mail", Works: []string{"mail"}, Into: []string{"default"}},
		task.Key{Public: stolen.Public(), Name: "stolen", Works: []string{"docs"}},
	)
	s.trust = task.TrustKeys(s.keys...)
	return s, mail, stolen
}

func (s *site) workMail(mail *task.Signer) {
	s.work(func(c *consumer.Config) { c.Queues, c.Signer = []string{"mail"}, mail })
}

// put stores a record or a claim that somebody made by hand.
func (s *site) put(by *task.Signer, queue, kind string, u task.User, id string, data []byte, origin ...string) {
	s.t.Helper()
	m := &nats.Msg{Subject: s.broker.Outcome(queue, kind, u.Owner(), id), Data: data, Header: nats.Header{}}
	s.sign(m, by, strings.Join(origin, ""), 0)
	if _, err := s.js.PublishMsg(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
}

func succeeded(u task.User, queue, id string, follows ...[]byte) []byte {
	r := &task.Record{
		Outcome: task.Outcome{ID: id, Task: say.Name(), Queue: queue, User: u, End: task.Succeeded, Value: []byte("\xa6forged"), Attempt: 1},
		Queues:  follows,
	}
	return r.Encode()
}

func TestAWorkersKeyEndsNoJobOfAnotherQueue(t *testing.T) {
	t.Parallel()
	s, mail, stolen := lender(t)
	c := s.producer(s.web)
	for _, claimed := range []string{"mail", "docs"} { // what the record says of its queue
		job := queue(s, c, alice, say.On("", "true", task.InQueue("mail")))
		inside, _ := s.sealed(alice, "inside-"+claimed)
		s.put(stolen, "mail", stream.KindSucceeded, alice, job.ID(), succeeded(alice, claimed, job.ID(), inside.Encode()))
		if o, err := job.Outcome(t.Context()); err != nil || o != nil {
			t.Errorf("a record for the queue %s counts in mail: %v, %v", claimed, o, err)
		}
	}
	s.work()
	s.workMail(mail)
	job := queue(s, c, alice, say.On("", "true", task.InQueue("mail")))
	if out := succeeds(s, job); out != "true" {
		t.Errorf("the job ended with %q", out)
	}
	if n := s.count("say true alice"); n != 3 {
		t.Errorf("%d of 3 jobs ran", n)
	}
	succeeds(s, queue(s, c, alice, say.On("", "behind what may follow")))
	for _, ran := range s.history() {
		if ran != "say true alice" && ran != "say behind what may follow alice" {
			t.Errorf("%q ran", ran)
		}
	}
}

func TestAProducersKeyCancelsInItsQueuesAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	script := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: script.Public(), Name: "script", Users: []task.User{alice}, Queues: []string{"docs"}})
	s.trust = task.TrustKeys(s.keys...)
	web, scripted := s.producer(s.web), s.producer(script)
	theirs := queue(s, web, alice, say.On("", "theirs"))
	own := queue(s, scripted, alice, say.On("", "own", task.InQueue("docs")))
	if err := scripted.Cancel(t.Context(), theirs.ID()); err == nil || !strings.Contains(err.Error(), `key "script" may not cancel in queue "default"`) {
		t.Errorf("it cancels in another queue: %v", err)
	}
	forged := &task.Record{Outcome: task.Outcome{ID: theirs.ID(), Task: say.Name(), Queue: "default", User: alice, End: task.Cancelled}}
	s.put(script, "default", stream.KindCancelled, alice, theirs.ID(), forged.Encode())
	if err := scripted.Cancel(t.Context(), own.ID()); err != nil {
		t.Fatal(err)
	}
	s.work()
	if out := succeeds(s, theirs); out != "theirs" {
		t.Errorf("the job of another queue ended with %q", out)
	}
	succeeds(s, queue(s, web, alice, say.On("", "behind it", task.InQueue("docs"))))
	o, err := producer.Find[string](web, own.ID()).Outcome(t.Context())
	if err != nil || o == nil || o.End != task.Cancelled || s.count("say own alice") > 0 {
		t.Errorf("a job of its queue was not cancelled: %v, %v", o, err)
	}
}

// What a record or a claim asks for is done by whoever reads it, who may do more than whoever signed it.
func TestAWorkersKeyIsNotLentToWhoeverWritesInItsQueue(t *testing.T) {
	t.Parallel()
	s, mail, stolen := lender(t)
	log := &lines{}
	c := s.producer(s.web)
	body := func(u task.User, id string, opts ...task.Option) []byte {
		e, _ := s.sealed(u, id, opts...)
		return e.Encode()
	}
	ended := queue(s, c, alice, say.On("", "ended", task.InQueue("docs")))
	s.put(stolen, "docs", stream.KindSucceeded, alice, ended.ID(), succeeded(alice, "docs", ended.ID(),
		body(alice, "into-default"), body(alice, "into-mail", task.InQueue("mail")), body(bob, "for-bob", task.InQueue("docs")), body(alice, "its-own", task.InQueue("docs"))))

	claims := map[string][]byte{
		"default": body(alice, "goes-on-in-default"), "bob": body(bob, "goes-on-as-bob", task.InQueue("docs")),
	}
	waits := map[string]*producer.Job[string]{}
	for name, next := range claims {
		job := queue(s, c, alice, say.On("", "claimed "+name, task.InQueue("docs"), task.WithoutQuota()))
		s.put(stolen, "docs", stream.KindClaimed, alice, job.ID(), (&task.Claim{
			ID: job.ID(), Worker: "evil", State: task.ClaimParked, Member: job.ID(), Continued: next, Started: s.broker.Now(),
		}).Encode())
		waits[name] = job
	}
	// Its queues too: what a claim names is queued once the job has continued.
	goes := queue(s, c, alice, say.On("", "not again", task.InQueue("docs"), task.WithoutQuota()))
	s.put(stolen, "docs", stream.KindClaimed, alice, goes.ID(), (&task.Claim{
		ID: goes.ID(), Worker: "evil", State: task.ClaimParked, Member: goes.ID(), Continued: body(alice, "next", task.InQueue("docs"), task.WithoutQuota()),
		Queues: [][]byte{body(alice, "claimed-into-default")}, Started: s.broker.Now(),
	}).Encode())

	s.work(func(c *consumer.Config) { c.Logger = log.logger() })
	s.workMail(mail)
	succeeds(s, ended)
	for name, job := range waits {
		if out := succeeds(s, job); out != "claimed "+name {
			t.Errorf("a job with a claim that counts for nothing ended with %q", out)
		}
	}
	if out := succeeds(s, goes); out != "next" {
		t.Errorf("a job that continued in its queue ended with %q", out)
	}
	succeeds(s, producer.Find[string](c, "its-own"))
	succeeds(s, queue(s, c, alice, say.On("", "behind what may follow")))
	for _, id := range []string{"into-default", "into-mail", "for-bob", "goes-on-in-default", "goes-on-as-bob", "claimed-into-default"} {
		if o, err := producer.Find[string](c, id).Outcome(t.Context()); err != nil || o != nil {
			t.Errorf("%s was queued: %v, %v", id, o, err)
		}
	}
	if n := strings.Count(log.String(), "a record asks for more than its signer may"); n != 2 {
		t.Errorf("%d lines say of two records that they ask for more:\n%s", n, log)
	}
}

func TestAClaimCancelsNobodyElsesJob(t *testing.T) {
	t.Parallel()
	s, _, stolen := lender(t)
	s.work()
	c := s.producer(s.web)
	victims := map[string]*task.Envelope{
		"bob's in its queue": s.envelope(bob, "theirs", task.InQueue("docs")), "alice's in another": s.envelope(alice, "other"),
	}
	run := map[string]*producer.Job[string]{}
	for name, e := range victims {
		run[name] = queue(s, c, e.User, linger.On("", name, task.InQueue(e.Queue), task.WithID(e.ID), task.WithoutQuota()))
	}
	for s.count("linger bob's in its queue bob") == 0 || s.count("linger alice's in another alice") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	for name, victim := range victims {
		id := "claims-" + victim.ID
		s.put(stolen, "docs", stream.KindClaimed, alice, id, (&task.Claim{
			ID: id, Worker: "evil", State: task.ClaimParked, Member: id, Continued: victim.Encode(), Started: s.broker.Now(),
		}).Encode())
		cancelled := &task.Record{Outcome: task.Outcome{ID: id, Task: say.Name(), Queue: "docs", User: alice, End: task.Cancelled}}
		s.put(stolen, "docs", stream.KindCancelled, alice, id, cancelled.Encode())
		_, m := s.sealed(alice, id, task.InQueue("docs"))
		s.sign(m, s.web, "", 0)
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		s.gone(m.Subject)
		if o, err := run[name].Outcome(t.Context()); err != nil || o != nil {
			t.Errorf("%s was cancelled: %v, %v", name, o, err)
		}
	}
	close(s.gate)
	for _, job := range run {
		succeeds(s, job)
	}
}

// gone waits until a worker has taken a job out of its lane.
func (s *site) gone(subject string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if n, err := s.broker.Count(s.t.Context(), s.broker.Jobs(), subject); err == nil && n == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is still there", subject)
		}
	}
}

func (s *site) envelope(u task.User, id string, opts ...task.Option) *task.Envelope {
	s.t.Helper()
	e, _ := s.sealed(u, id, opts...)
	return e
}
