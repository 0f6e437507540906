package trust_test

import (
	"strings"
	"testing"

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
func (s *site) put(by *task.Signer, queue, kind string, u task.User, id string, data []byte) {
	s.t.Helper()
	m := &nats.Msg{Subject: s.broker.Outcome(queue, kind, u.Owner(), id), Data: data, Header: nats.Header{}}
	s.sign(m, by, "", 0)
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
