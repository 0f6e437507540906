package integration_test

import (
	"errors"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

var reader = task.User{Realm: "/plone/acl_users", ID: "reader"}

// Two users queue jobs of the same ID: each job runs, ends and is cancelled by itself.
func TestJobsOfOneIDAreToldApartByTheirUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	hold := s.door("app.hold", task.WithoutQuota())
	s.Work(s.reg)
	asReader := task.WithUser(s.ctx, reader)
	nobody := task.WithUser(s.ctx, task.User{})
	mine := put(s, hold.On(folder, "editor's", task.WithID("nightly")))
	theirs := putAs(s, reader, hold.On(folder, "reader's", task.WithID("nightly")))
	arrives(s, hold.in)
	arrives(s, hold.in)

	for what, err := range map[string]error{
		"cancel": s.Client.Cancel(nobody, "nightly"),
		"wait":   errorOf(producer.Find[string](s.Client, "nightly").Wait(nobody)),
		"status": errorOf(s.Client.Status(task.WithUser(s.ctx, jane), "nightly")),
	} {
		if !errors.Is(err, producer.ErrAmbiguous) {
			t.Errorf("%s: error is %v", what, err)
		}
	}
	s.must(s.Client.Cancel(asReader, "nightly"))
	_, err := theirs.Wait(s.ctx)
	s.wantErr(err, task.ErrCancelled)
	s.stateIs(task.StateActive, mine.Status)
	hold.open()
	s.same("the editor's result", "editor's", resultOf(s, mine))
	s.same("found by the editor", "editor's", resultOf(s, producer.Find[string](s.Client, "nightly")))
	s.wantErr(s.Client.Cancel(s.ctx, "nightly"), producer.ErrCompleted)

	// And a job of the same user in another queue.
	put(s, hold.On(folder, "docs", task.WithID("nightly"), task.InQueue("docs"), task.Delay(time.Hour)))
	_, err = s.Client.Status(s.ctx, "nightly")
	s.wantErr(err, producer.ErrAmbiguous)
	s.same("through its handle", "editor's", resultOf(s, mine))
}

// Those who wait before there is a job get the one that comes.
func TestWhoWaitsForAnIDGetsTheJobThatComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hold := s.door("app.hold", task.WithoutQuota())
	s.Work(s.reg)
	found := producer.Find[string](s.Client, "nightly")
	got := make(chan string, 1)
	go func() {
		for {
			out, err := found.Wait(s.ctx)
			if errors.Is(err, producer.ErrNoSuchJob) {
				continue // it comes
			}
			if err != nil {
				out = err.Error()
			}
			got <- out
			return
		}
	}()
	put(s, hold.On(folder, "first", task.WithID("nightly")))
	arrives(s, hold.in)
	// Once the waiter's handle has met the job, another of its ID is nothing to it.
	s.becomes(task.StateActive, found.Status)
	putAs(s, reader, hold.On(folder, "second", task.WithID("nightly")))
	arrives(s, hold.in)
	hold.open()
	hold.open()
	s.same("what the waiter gets", "first", arrives(s, got))
}

func errorOf[T any](_ T, err error) error { return err }
