package trust_test

import (
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A cancellation that workers would not believe is refused, and takes no job away.
func TestACancellationThatNobodyBelievesTakesNoJobAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := s.producer(s.web)
	job := queue(s, web, alice, say.On("", "still there", task.InQueue("docs")))
	for name, cfg := range map[string]producer.Config{
		"unsigned":          {},
		"by a stranger":     {Signer: newSigner(t), Trust: s.trust},
		"unsigned, trusted": {Trust: s.trust},
	} {
		cfg.Logger = quiet
		c, err := producer.New(soon(t), s.js, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Cancel(as(t.Context(), alice), job.ID()); err == nil || !strings.Contains(err.Error(), "igner") {
			t.Errorf("%s: cancel: %v", name, err)
		}
		if n, err := c.Queue("docs").Purge(as(t.Context(), alice)); err == nil || n != 0 || !strings.Contains(err.Error(), "igner") {
			t.Errorf("%s: purge: %d, %v", name, n, err)
		}
	}
	// One that a stranger signed, without looking whom they trust, changes nothing either.
	blind, err := producer.New(soon(t), s.js, producer.Config{Signer: newSigner(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := blind.Cancel(t.Context(), job.ID()); err != nil {
			t.Fatal(err)
		}
	}
	s.work()
	if out := succeeds(s, producer.Find[string](web, job.ID())); out != "still there" {
		t.Errorf("it ended as %q", out)
	}
}

// alice may cancel and delete nothing. Her outcome is kept for days and her job is due in years: a worker that was not
// there when she cancelled takes the schedule out, and leaves those of jobs that have not ended.
func TestAJobThatAUserCancelsIsNotDueAnyMore(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	delayed := func(name string, u task.User) *producer.Job[string] {
		job := queue(f.site, f.client(name), u, say.On("", name, task.Delay(9*365*24*time.Hour)))
		for deadline := time.Now().Add(patience); f.scheduled(u, job.ID()) == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the job of %s is not put off", name)
			}
		}
		return job
	}
	hers, his := delayed("alice", alice), delayed("bob", bob)
	if err := hers.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	junk := f.broker.Outcome("default", stream.KindCancelled, bob.Owner(), his.ID())
	if _, err := f.js.Publish(t.Context(), junk, []byte("no record")); err != nil {
		t.Fatal(err)
	}
	f.employ()
	for deadline := time.Now().Add(patience); f.scheduled(alice, hers.ID()) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("her cancelled job is still to come")
		}
	}
	if f.scheduled(bob, his.ID()) == nil {
		t.Error("bob's job does not come any more")
	}
}

// scheduled is the schedule of a job in the queue default, nil if there is none.
func (f *fort) scheduled(u task.User, id string) *stream.Message {
	f.t.Helper()
	m, err := f.broker.Last(f.t.Context(), f.broker.Later(), f.broker.LaterJob("default", u.Owner(), id))
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}
