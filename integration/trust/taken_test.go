package trust_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// occupy keeps subjects full of what counts for nothing, until the function that it returns is called.
func (s *site) occupy(subjects ...string) (leave func()) {
	s.t.Helper()
	nc := s.dial().Conn()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, subject := range subjects {
				_ = nc.Publish(subject, []byte("x"))
			}
			_ = nc.Flush()
		}
	}()
	for _, subject := range subjects {
		s.refused(subject)
	}
	return func() {
		close(stop)
		<-stopped
	}
}

// Whoever may publish into the account of the streams may be first where the callbacks of a job will be queued, or a
// member of a batch. "It is there already" is no success then: they run once the way is free.
func TestWhatLiesInTheWayOfCallbacksAndMembersIsNotTakenForThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.producer(s.web)
	s.work()
	const jobs = 5
	var way []string
	var all []*producer.Job[string]
	for i := range jobs {
		job := queue(s, c, alice, linger.On("", fmt.Sprint(i), task.WithoutQuota()).OnSuccess(hear))
		all = append(all, job)
		way = append(way, s.broker.Job("default", "callbacks", alice.Owner(), task.CallbacksID(job.ID())))
	}
	members := task.WithID("members")
	way = append(way, s.broker.Job("default", "free", alice.Owner(), "members.1"), s.broker.Job("default", "free", alice.Owner(), "members.2"))
	leave := s.occupy(way...)
	close(s.gate)
	pair := queue(s, c, alice, batch.Parallel(say.On("", "one"), say.On("", "two")).With(members))
	for _, job := range all {
		for o, err := job.Outcome(t.Context()); o == nil; o, err = job.Outcome(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	time.Sleep(time.Second) // the workers' tries meet what lies there
	leave()
	for i, job := range all {
		succeeds(s, job)
		if n := s.count(fmt.Sprint("hear ", i, " alice")); n != 1 {
			t.Errorf("the callback of job %d ran %d times", i, n)
		}
	}
	if r := succeeds(s, pair); len(r) != 2 {
		t.Errorf("the batch has %d results", len(r))
	}
}

// A producer's login queues whole jobs: what extends an ID is queued by workers, and nobody can be there first.
func TestNoProducerQueuesWhatExtendsAnID(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	job := queue(f.site, f.client("web"), alice, linger.On("", "job", task.WithoutQuota()).OnSuccess(hear))
	before := f.lengths()
	for _, name := range []string{"web", "alice", "gate"} {
		for _, id := range []string{job.ID() + ".cb", job.ID() + ".1", job.ID() + ".cb.1"} {
			for _, lane := range []string{"callbacks", "free", "default", "later"} {
				asks(t, f.connect(name), f.broker.Job("default", lane, alice.Owner(), id), "", nil, []byte("x"))
			}
		}
	}
	for stream, was := range before {
		if now := f.lengths()[stream]; now != was {
			t.Errorf("stream %s has %d messages, had %d", stream, now, was)
		}
	}
	close(f.gate)
	succeeds(f.site, f.seen(job))
	if n := f.count("hear job alice"); n != 1 {
		t.Errorf("the callback ran %d times", n)
	}
}

// A job of a later version waits for a worker that can read it only if its signer may queue for its user: else it
// would hold up the job whose ID it has.
func TestALaterVersionOfSomebodyElseIsPutAsideAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	rival := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: rival.Public(), Name: "rival", Realms: []string{"/elsewhere"}})
	s.trust = task.TrustKeys(s.keys...)
	c := s.producer(s.web)
	s.work()
	job := queue(s, c, alice, say.On("", "in time", task.WithID("job"), task.Delay(2*time.Second), task.StartWithin(time.Second*20)))
	subject := s.broker.Job("default", "free", alice.Owner(), "job")
	for _, m := range []*nats.Msg{s.tomorrows(task.User{Realm: "/elsewhere", ID: "eve"}, "default", "job", rival), s.tomorrows(alice, "default", "job", rival)} {
		m.Subject = subject
		s.sign(m, rival, "", 0)
		if err := s.js.Conn().PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		if code := s.refused(subject); code != "user" && code != "subject" {
			t.Errorf("put aside as %q", code)
		}
	}
	if out := succeeds(s, job); out != "in time" {
		t.Errorf("it ended with %q", out)
	}
}
