package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// queue queues a call as jane.
func queue[Out any](c *cell, call task.Call[Out]) *producer.Job[Out] {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(task.WithUser(c.t.Context(), jane), patience)
	defer cancel()
	job, err := producer.Enqueue(ctx, c.client, call)
	if err != nil {
		c.t.Fatal(err)
	}
	return job
}

// result waits for a job, and for its callbacks.
func result[Out any](c *cell, job *producer.Job[Out]) (Out, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	out, err := job.Wait(ctx)
	if ctx.Err() != nil {
		c.t.Fatalf("job %s does not end: %v\n%s", job.ID(), err, c.history)
	}
	return out, err
}

// succeeds is result for a job that must succeed.
func succeeds[Out any](c *cell, job *producer.Job[Out]) Out {
	c.t.Helper()
	out, err := result(c, job)
	if err != nil {
		c.t.Fatalf("job %s: %v\n%s", job.ID(), err, c.history)
	}
	return out
}

// recorded is the one outcome of a job that has ended; it fails the test if there are
// more or none.
func (c *cell) recorded(queue, id string) stream.Standing {
	c.t.Helper()
	all := c.outcomes(queue, id)
	for deadline := time.Now().Add(patience); len(all) == 0 && time.Now().Before(deadline); all = c.outcomes(queue, id) {
		time.Sleep(3 * time.Millisecond) // the replica that was asked does not know yet
	}
	if len(all) != 1 {
		c.t.Fatalf("job %s has %d outcomes, want 1: %+v\n%s", id, len(all), all, c.history)
	}
	return all[0]
}

// outcomes are all ends that are recorded of a job, as any replica knows them.
func (c *cell) outcomes(queue, id string) []stream.Standing {
	c.t.Helper()
	var all []stream.Standing
	for m, err := range c.broker.Range(c.t.Context(), c.broker.Outcomes(), c.broker.Fence(queue, jane.Owner(), id), 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		if s := c.broker.ReadStanding(m); s.Record != nil {
			all = append(all, s)
		}
	}
	return all
}

// claims are the claims of a job that are kept, oldest first.
func (c *cell) claims(id string) []*task.Claim {
	c.t.Helper()
	var all []*task.Claim
	for m, err := range c.broker.Range(c.t.Context(), c.broker.Outcomes(), c.broker.Fence("default", jane.Owner(), id), 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		if s := c.broker.ReadStanding(m); s.Claim != nil {
			all = append(all, s.Claim)
		}
	}
	return all
}

// drained waits until the stream of jobs is empty but for its keel.
func (c *cell) drained() {
	c.t.Helper()
	var left uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		s, err := c.js.Stream(c.t.Context(), c.broker.Jobs())
		if err != nil {
			continue
		}
		if left = s.CachedInfo().State.Msgs; left <= 1 {
			return
		}
	}
	c.t.Fatalf("%d messages are left in %s\n%s", left-1, c.broker.Jobs(), c.history)
}

// starts asserts how often a job of the story has started.
func (c *cell) starts(name string, least, most int) {
	c.t.Helper()
	if n := len(c.history.find(c.t, "start", name)); n < least || n > most {
		c.t.Errorf("%q started %d times, want %d to %d\n%s", name, n, least, most, c.history)
	}
}

// inOrder asserts that no job of a lane of size 1 started before the outcome of the one
// before it was recorded. ids are in the order of queueing, names are theirs.
func (c *cell) inOrder(queue string, ids, names []string) {
	c.t.Helper()
	first := map[string]entry{}
	for _, l := range c.history.read(c.t) {
		if l.Event == "start" && first[l.Name].At.IsZero() {
			first[l.Name] = l
		}
	}
	var before stream.Standing
	for i, id := range ids {
		now := c.recorded(queue, id)
		began := first[names[i]].At
		switch {
		case began.IsZero():
			c.t.Errorf("%q has an outcome and never started\n%s", names[i], c.history)
		case i == 0:
		case began.Before(before.Time):
			c.t.Errorf("%q started at %v, before the outcome of %q at %v", names[i], began, names[i-1], before.Time)
		case now.Seq < before.Seq:
			c.t.Errorf("the outcome of %q has sequence %d, that of %q before it %d", names[i], now.Seq, names[i-1], before.Seq)
		}
		before = now
	}
}

// within asserts that something happened soon enough.
func within(t *testing.T, what string, took, most time.Duration) {
	t.Helper()
	if took > most {
		t.Errorf("%s took %v, want %v at most", what, took.Round(time.Millisecond), most)
	}
}
