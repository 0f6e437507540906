package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// ignorant is a worker that knows none of the tasks that are queued.
func (c *cell) ignorant(grace time.Duration) *hand {
	c.t.Helper()
	reg := registry.New()
	registry.Handle(reg, task.Define[task.None, task.None]("story.other"), func(context.Context, task.Object, task.None) (task.None, error) {
		return task.None{}, nil
	})
	return c.hireWith(jetStreamOf(c.t, c.dial(c.url)), reg, consumer.Config{Trust: trusted, Name: "ignorant", Logger: quiet, UnknownGrace: grace})
}

func TestAJobIsLeftToAWorkerThatKnowsItsTask(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.ignorant(time.Hour).begin()
	one := queue(c, do("one"))
	many := queue(c, batch.Serial(do("m1"), do("m2")))
	last := queue(c, do("last"))
	awaitTrue(t, "the ignorant worker says that it saw the job", func() bool {
		claims := c.claims(one.ID())
		return len(claims) > 0 && claims[0].State == task.ClaimUnknown
	})
	c.hire("learned").begin()
	succeeds(c, one)
	if err := succeeds(c, many).Err(); err != nil {
		t.Error(err)
	}
	succeeds(c, last)
	if r := c.recorded("default", one.ID()).Record; r.Attempt != 1 || r.Worker != "learned" {
		t.Errorf("attempt %d by %q, want 1 by learned", r.Attempt, r.Worker)
	}
	for _, claim := range c.claims(one.ID()) {
		if claim.Interruptions+claim.Attempts > 0 {
			t.Errorf("the claim %s counts %d interruptions and %d attempts", claim.State, claim.Interruptions, claim.Attempts)
		}
	}
	c.starts("one", 1, 1)
	c.inOrder("default", []string{one.ID(), many.ID(), last.ID()}, []string{"one", "m1", "last"})
}

func TestAJobOfATaskThatNobodyKnowsFailsAfterItsGrace(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	const grace = 600 * time.Millisecond
	c.ignorant(grace).begin()
	queued := time.Now()
	one := queue(c, do("one"))
	two := queue(c, batch.Serial(do("m1"), do("m2")))
	_, err := result(c, one)
	if !errors.Is(err, task.ErrNoSuchTask) {
		t.Errorf("the error is %v, want ErrNoSuchTask", err)
	}
	if took := time.Since(queued); took < grace {
		t.Errorf("it failed after %v, before its grace of %v", took, grace)
	}
	if _, err := result(c, two); !errors.Is(err, task.ErrNoSuchTask) {
		t.Errorf("the batch's error is %v, want ErrNoSuchTask", err)
	}
	c.recorded("default", one.ID())
	c.drained()
}

// Who may queue a job may queue another of its ID into another lane, where nobody knows it. What a worker would write
// down about that must not hide what another does.
func TestALaterVersionUnderTheIDOfAJobThatRunsDoesNotDisturbIt(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker", func(cfg *consumer.Config) { cfg.UnknownGrace = time.Hour }).begin()
	tomorrows := tomorrow(jane)
	other := c.broker.Job("default", "free", jane.Owner(), "running")
	running := queue(c, gated("running", "gate").With(task.WithID("running")))
	c.history.await(t, "start", "running", 1)
	if err := c.conn.Publish(other, tomorrows); err != nil {
		t.Fatal(err)
	}
	if code := c.aside(1)[other].Get(stream.HeaderCode); code != "version" {
		t.Errorf("put aside as %q", code)
	}
	c.open("gate")
	succeeds(c, running)

	// The same of a job that has ended: it stays ended. Its subject takes another message once it has none.
	c.drained()
	if err := c.conn.Publish(c.broker.Job("default", "default", jane.Owner(), "running"), tomorrows); err != nil {
		t.Fatal(err)
	}
	c.aside(2)
	succeeds(c, running)
	succeeds(c, queue(c, do("next")))
	c.recorded("default", "running")
	c.starts("running", 1, 1)
	c.drained()
}

func TestAnUnknownTaskUnderTheIDOfAJobThatRunsDoesNotDisturbIt(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker", func(cfg *consumer.Config) { cfg.UnknownGrace = time.Hour }).begin()
	running := queue(c, gated("running", "gate").With(task.WithID("running")))
	c.history.await(t, "start", "running", 1)
	nobodys := task.Define[task.None, task.None]("nobody.knows").On("", task.None{}).With(task.WithID("running"), task.WithoutQuota())
	queue(c, nobodys)
	if code := c.aside(1)[c.broker.Job("default", "free", jane.Owner(), "running")].Get(stream.HeaderCode); code != "subject" {
		t.Errorf("put aside as %q", code)
	}
	c.open("gate")
	succeeds(c, running)
	succeeds(c, queue(c, do("next")))
	c.starts("running", 1, 1)
	c.drained()
}

// Two messages of one ID in two lanes have claims of two consumers, and neither is older than the other for ever.
func TestOneIDInTwoLanesEndsAndHoldsUpNeither(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("worker").begin()
	retried := script{Name: "first", Fail: "no"}
	queue(c, follow(retried).With(task.WithID("twice"), task.Retry(task.Policy{Attempts: 3, Delay: 500 * time.Millisecond})))
	c.history.await(t, "end", "first", 1)
	second := queue(c, do("second").With(task.WithID("twice"), task.WithoutQuota()))
	_, _ = result(c, second)
	succeeds(c, queue(c, do("next")))
	c.drained()
	c.recorded("default", "twice")
}
