package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var (
	edit  = task.Define[string, string]("page.edit")
	edits = registry.Require("Edit")
)

// office is who may do what now, and what was done.
type office struct {
	mu     sync.Mutex
	rights map[task.User]map[string]bool
	pages  map[task.Object]bool
	done   []string
	down   int // how often the directory is still out of order
}

func newOffice() *office {
	return &office{
		rights: map[task.User]map[string]bool{jane: {"Edit": true, "View": true}},
		pages:  map[task.Object]bool{"/site/page": true},
	}
}

func (o *office) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

type clerk struct {
	o    *office
	user task.User
}

func (c clerk) Can(_ context.Context, permission string, _ task.Object) error {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	if !c.o.rights[c.user][permission] {
		return fmt.Errorf("%s: %w", permission, task.ErrUnauthorized)
	}
	return nil
}

// open makes a worker of the office; each edit calls then.
func (o *office) open(c *cell, then func(context.Context, string) error) *hand {
	c.t.Helper()
	reg := registry.New()
	registry.Users(reg, func(ctx context.Context, u task.User) (registry.Principal, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.down > 0 {
			if o.down--; o.down%2 == 1 { // slow besides
				stream.Sleep(ctx, 200*time.Millisecond)
			}
			return nil, errors.New("the directory does not answer")
		}
		if _, there := o.rights[u]; !there && !u.Anonymous() {
			return nil, task.ErrNoSuchUser
		}
		return clerk{o, u}, nil
	})
	registry.Objects(reg, "/site/{path...}", func(_ context.Context, at task.Object) (*task.Object, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.pages[at] {
			return nil, task.ErrNoSuchObject
		}
		return &at, nil
	}, registry.Require("View"))
	registry.Handle(reg, edit, func(ctx context.Context, _ *task.Object, in string) (string, error) {
		o.change(func() { o.done = append(o.done, in+" by "+task.UserFrom(ctx).ID) })
		return in, then(ctx, in)
	}, edits)
	return c.hireWith(jetStreamOf(c.t, c.dial(c.url)), reg, consumer.Config{Trust: trusted, Name: "office", Logger: quiet})
}

func nothing(context.Context, string) error { return nil }

func TestRightsAreThoseOfWhenTheJobRuns(t *testing.T) {
	t.Parallel()
	c, o := newCell(t), newOffice()
	h := o.open(c, nothing)
	const page = task.Object("/site/page")
	allowed := queue(c, edit.On(page, "allowed"))
	h.begin()
	succeeds(c, allowed)
	h.stop()

	revoked := queue(c, edit.On(page, "revoked"))
	inside := queue(c, batch.Serial(edit.On(page, "member")))
	o.change(func() { o.rights[jane]["Edit"] = false })
	h = o.open(c, nothing)
	h.begin()
	if _, err := result(c, revoked); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("after the right was taken away the error is %v, want ErrUnauthorized", err)
	}
	if err := succeeds(c, inside).Err(); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("the member's error is %v, want ErrUnauthorized", err)
	}
	o.change(func() { o.rights[jane]["Edit"] = true; delete(o.pages, page) })
	if _, err := result(c, queue(c, edit.On(page, "gone"))); !errors.Is(err, task.ErrNoSuchObject) {
		t.Errorf("after the page has gone the error is %v, want ErrNoSuchObject", err)
	}
	o.change(func() { o.pages[page] = true; delete(o.rights, jane) })
	if _, err := result(c, queue(c, edit.On(page, "left"))); !errors.Is(err, task.ErrNoSuchUser) {
		t.Errorf("after jane has left the error is %v, want ErrNoSuchUser", err)
	}
	nobody, err := producer.Enqueue(t.Context(), c.client, edit.On(page, "nobody's"))
	if err != nil {
		t.Fatal(err)
	}
	// Without the right to see the page, it is not there.
	if _, err := result(c, nobody); !errors.Is(err, task.ErrUnauthorized) && !errors.Is(err, task.ErrNoSuchObject) {
		t.Errorf("the anonymous user's error is %v, want ErrUnauthorized or ErrNoSuchObject", err)
	}
	if diff := cmp.Diff([]string{"allowed by jane"}, o.done); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

func TestRightsAreResolvedAgainForEachAttemptAndCallback(t *testing.T) {
	t.Parallel()
	c, o := newCell(t), newOffice()
	h := o.open(c, func(_ context.Context, in string) error {
		o.change(func() { o.rights[jane]["Edit"] = false })
		if in == "retried" {
			return task.Retryable(errors.New("not now"))
		}
		return nil
	})
	h.begin()
	const page = task.Object("/site/page")
	if _, err := result(c, queue(c, edit.On(page, "retried"))); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("the second attempt's error is %v, want ErrUnauthorized", err)
	}
	o.change(func() { o.rights[jane]["Edit"] = true })
	job := queue(c, edit.On(page, "followed").Then(edit.On(page, "callback")))
	succeeds(c, job)
	follows := producer.Find[string](c.client, task.CallbacksID(job.ID())+".1")
	if _, err := result(c, follows); !errors.Is(err, task.ErrUnauthorized) {
		t.Errorf("the callback's error is %v, want ErrUnauthorized", err)
	}
	if diff := cmp.Diff([]string{"retried by jane", "followed by jane"}, o.done); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

func TestF32ADirectoryThatIsDownCountsNoAttempt(t *testing.T) {
	t.Parallel()
	c, o := newCell(t), newOffice()
	o.down = 3
	o.open(c, nothing).begin()
	first := queue(c, edit.On("/site/page", "first"))
	second := queue(c, edit.On("/site/page", "second"))
	succeeds(c, first)
	succeeds(c, second)
	for _, job := range []*producer.Job[string]{first, second} {
		if n := c.recorded("default", job.ID()).Record.Attempt; n != 1 {
			t.Errorf("it is attempt %d, want 1", n)
		}
	}
	if diff := cmp.Diff([]string{"first by jane", "second by jane"}, o.done); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

func TestF32ADirectoryThatStaysDownIsNoRefusalAndEndsWithTheStartDeadline(t *testing.T) {
	t.Parallel()
	c, o := newCell(t), newOffice()
	o.down = 1 << 20
	o.open(c, nothing).begin()
	patient := queue(c, edit.On("/site/page", "patient").With(task.WithoutQuota()))
	hasty := queue(c, edit.On("/site/page", "hasty").With(task.StartWithin(time.Second), task.WithoutQuota()))
	if _, err := result(c, hasty); !errors.Is(err, task.ErrExpired) {
		t.Errorf("the error is %v, want ErrExpired", err)
	}
	if n := len(c.outcomes("default", patient.ID())); n != 0 {
		t.Errorf("the job that can wait has %d outcomes", n)
	}
	o.change(func() { o.down = 0 })
	succeeds(c, patient)
	if diff := cmp.Diff([]string{"patient by jane"}, o.done); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}
