package trust_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Everything that the system can do with a job, it can do where only signatures count.
func TestASignedJobGoesEveryWay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	c := s.producer(s.web)

	if out := succeeds(s, queue(s, c, alice, say.On("", "plain"))); out != "plain" {
		t.Errorf("a plain job: %q", out)
	}
	if out := succeeds(s, queue(s, c, alice, say.On("", "later", task.Delay(300*time.Millisecond)))); out != "later" {
		t.Errorf("a scheduled job: %q", out)
	}
	if out := succeeds(s, queue(s, c, alice, goOn.On("", "this"))); out != "after this" {
		t.Errorf("a job that continues: %q", out)
	}
	if n := succeeds(s, queue(s, c, alice, retry.On("", "again", task.Retry(task.Policy{Attempts: 3, Delay: 10 * time.Millisecond})))); n != 3 {
		t.Errorf("a job that is tried again: attempt %d", n)
	}
	if n := succeeds(s, queue(s, c, alice, retry.On("", "aside", task.Retry(task.Policy{Attempts: 3, Delay: 10 * time.Millisecond, Aside: true})))); n != 3 {
		t.Errorf("a job that is tried again elsewhere: attempt %d", n)
	}

	job := queue(s, c, alice, say.On("", "with a callback").OnSuccess(hear))
	succeeds(s, job)
	if n := s.count("hear with a callback alice"); n != 1 {
		t.Errorf("its callback ran %d times", n)
	}
	late, err := job.OnSuccess(as(t.Context(), alice), hear)
	if err != nil {
		t.Fatal(err)
	}
	succeeds(s, late)
	if n := s.count("hear with a callback alice"); n != 2 {
		t.Errorf("with the late one its callbacks ran %d times", n)
	}

	results := succeeds(s, queue(s, c, alice, batch.Serial(
		say.On("", "one"),
		batch.Parallel(say.On("", "two"), fail.On("", "three"), say.On("", "four").OnSuccess(hear)),
		goOn.On("", "five"),
	)))
	if len(results) != 3 || results[0].End != task.Succeeded || results[2].End != task.Succeeded {
		t.Errorf("a batch: %v", results)
	}
	inner, err := task.Result[batch.Results](results[1])
	if err != nil || len(inner) != 3 || inner[1].End != task.Failed {
		t.Errorf("a batch in it: %v, %v", inner, err)
	}

	tx := c.Begin()
	first, err := producer.Enqueue(as(t.Context(), alice), tx, say.On("", "tx 1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := producer.Enqueue(as(t.Context(), bob), tx, say.On("", "tx 2"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	succeeds(s, first)
	succeeds(s, second)
	if s.count("say tx 2 bob") != 1 {
		t.Error("the second job of the Tx did not run as its user")
	}

	many := make([]task.Call[string], 600)
	for i := range many {
		many[i] = say.On("", "many")
	}
	jobs, err := producer.EnqueueAll(as(t.Context(), alice), c, many)
	if err != nil {
		t.Fatal(err)
	}
	succeeds(s, jobs[len(jobs)-1])

	failed := queue(s, c, alice, fail.On("", "once"))
	if _, err := result(s, failed); err == nil {
		t.Fatal("it did not fail")
	}
	again, err := c.Retry(t.Context(), failed.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result(s, again); err == nil {
		t.Error("the second try did not fail")
	}
	if n := s.count("fail once alice"); n != 2 {
		t.Errorf("it ran %d times", n)
	}

	stuck := queue(s, c, alice, linger.On("", "cancel me", task.WithoutQuota()))
	for s.count("linger cancel me alice") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if err := stuck.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := result(s, stuck); !errors.Is(err, task.ErrCancelled) {
		t.Errorf("a cancelled job: %v", err)
	}
	for subject, m := range s.aside() {
		t.Errorf("%s was put aside: %v", subject, m.Header)
	}
}

func TestAJobQueuesIntoTheQueuesOfItsWorkersKeyAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	mail := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: mail.Public(), Name: "mail", Works: []string{"mail"}})
	s.trust = task.TrustKeys(s.keys...)
	s.work(func(c *consumer.Config) { c.Queues, c.Signer, c.Trust = []string{"mail"}, mail, s.trust })
	c := s.producer(s.web)

	id := succeeds(s, queue(s, c, alice, spawn.On("", "mail", task.InQueue("docs"))))
	succeeds(s, producer.Find[string](c, id))
	if s.count("say from mail alice") != 1 {
		t.Error("the job that was queued in a job did not run as its user")
	}
	_, err := result(s, queue(s, c, alice, spawn.On("", "docs", task.InQueue("mail"))))
	if err == nil || !s.ranOnce("spawn docs alice") || s.count("say from docs alice") != 0 {
		t.Errorf("a job of the queue mail could queue into docs: %v", err)
	}
	for subject, m := range s.aside() {
		t.Errorf("%s was put aside: %v", subject, m.Header)
	}
}

func (s *site) ranOnce(name string) bool { return s.count(name) == 1 }

func TestHandlersHearWhatWorkersSigned(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	heard := make(chan string, 10)
	sub, err := hooks.Subscribe(t.Context(), s.js, hooks.Handlers{
		Success: func(_ context.Context, o task.Outcome) error { heard <- o.ID; return nil },
	}, hooks.Config{Durable: "auditor", Trust: s.trust, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Stop)

	forged := &task.Record{Outcome: task.Outcome{ID: "forged", Task: "doc.say", Queue: "default", User: alice, End: task.Succeeded, Attempt: 1}}
	subject := s.broker.Outcome("default", "succeeded", alice.Owner(), "forged")
	if _, err := s.broker.Publish(t.Context(), s.broker.Fenced(subject, s.broker.Fence("default", alice.Owner(), "forged"), 0, forged.Encode())); err != nil {
		t.Fatal(err)
	}
	c := s.producer(s.web)
	job := queue(s, c, alice, say.On("", "true"))
	succeeds(s, job)
	if id := <-heard; id != job.ID() {
		t.Errorf("the handler heard of %s first, want %s", id, job.ID())
	}
	if o, err := producer.Find[string](c, "forged").Outcome(t.Context()); err != nil || o != nil {
		t.Errorf("a forged outcome counts: %v, %v", o, err)
	}
}

// All workers share what comes later; each moves what its key may.
func TestAJobThatIsDueWaitsForAWorkerOfItsQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	posts := newSigner(t)
	s.keys[1].Into = nil
	s.keys = append(s.keys, task.Key{Public: posts.Public(), Name: "posts", Works: []string{"mail"}})
	s.trust = task.TrustKeys(s.keys...)
	s.work()
	c := s.producer(s.web)
	var jobs []*producer.Job[string]
	for range 10 {
		jobs = append(jobs, queue(s, c, alice, say.On("", "mailed", task.InQueue("mail"), task.Delay(100*time.Millisecond))))
	}
	s.work(func(c *consumer.Config) { c.Queues, c.Signer, c.Trust = []string{"mail"}, posts, s.trust })
	for _, job := range jobs {
		succeeds(s, job)
	}
	for subject, m := range s.aside() {
		t.Errorf("%s was put aside: %v", subject, m.Header)
	}
}

// Who knows the keys is told before anything is sent that nobody would believe it.
func TestAJobThatNobodyWouldBelieveIsNotSent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	before := s.count("")
	stranger, narrow := newSigner(t), newSigner(t)
	trust := task.TrustKeys(
		task.Key{Public: s.web.Public(), Realms: []string{realm}},
		task.Key{Public: narrow.Public(), Name: "narrow", Realms: []string{realm}, Queues: []string{"docs"}},
		task.Key{Public: s.docs.Public(), Works: []string{"default", "docs"}},
	)
	for name, try := range map[string]struct {
		signer *task.Signer
		user   task.User
		want   string
	}{
		"unsigned":        {nil, alice, "set Signer"},
		"a stranger":      {stranger, alice, "not among the keys of Trust"},
		"another realm":   {s.web, task.User{Realm: "/elsewhere", ID: "alice"}, "may not speak for them"},
		"anonymous":       {s.web, task.User{}, "may not speak for them"},
		"another queue":   {narrow, alice, "may not queue into it"},
		"a worker's only": {s.docs, alice, "may not speak for them"},
	} {
		c, err := producer.New(soon(t), s.js, producer.Config{Signer: try.signer, Trust: trust, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		tx := c.Begin()
		if _, err := producer.Enqueue(as(t.Context(), try.user), tx, say.On("", "tx")); err != nil {
			t.Fatal(err)
		}
		_, one := producer.Enqueue(as(t.Context(), try.user), c, say.On("", "one"))
		_, many := producer.EnqueueAll(as(t.Context(), try.user), c, []task.Call[string]{say.On("", "many")})
		for what, err := range map[string]error{"Enqueue": one, "EnqueueAll": many, "Commit": tx.Commit(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), try.want) {
				t.Errorf("%s, %s: %v, want %q", name, what, err, try.want)
			}
		}
	}
	if n := s.count(""); n != before {
		t.Errorf("%d jobs ran", n-before)
	}
}

// Who waits for a job that was put aside learns that it is nowhere.
func TestAWaitForAJobThatWasPutAsideEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	c, err := producer.New(soon(t), s.js, producer.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	job := queue(s, c, alice, say.On("", "unsigned"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := job.Wait(ctx); !errors.Is(err, producer.ErrNoSuchJob) || !strings.Contains(err.Error(), "natsasync rejected ls") {
		t.Errorf("the wait ends with %v", err)
	}
}
