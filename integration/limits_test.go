package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// limit changes a stream as an operator would.
func (c *cell) limit(stream string, change func(*jetstream.StreamConfig)) {
	c.t.Helper()
	s, err := c.js.Stream(c.t.Context(), stream)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Discard = jetstream.DiscardNew
	change(&cfg)
	if _, err := c.js.UpdateStream(c.t.Context(), cfg); err != nil {
		c.t.Fatal(err)
	}
}

func TestF20AFullStreamRefusesByNameAndDropsNothing(t *testing.T) {
	t.Parallel()
	for limit, change := range map[string]func(*jetstream.StreamConfig){
		"max_msgs":  func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = 20 },
		"max_bytes": func(cfg *jetstream.StreamConfig) { cfg.MaxBytes = 16 << 10 },
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			worker := c.hire("worker") // it would not take a stream that has limits
			c.limit(c.broker.Jobs(), change)
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, producer.ErrQueueFull) || errors.Is(err, producer.ErrUnknown) {
					t.Fatalf("%s: the error is %v, want ErrQueueFull", what, err)
				}
				for _, part := range []string{c.broker.Jobs(), limit + " is reached"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: the error does not tell %q: %v", what, part, err)
					}
				}
			}
			ctx := task.WithUser(t.Context(), jane)
			var accepted []*producer.Job[string]
			for i := 0; ; i++ {
				asked := time.Now()
				job, err := producer.Enqueue(ctx, c.client, do(fmt.Sprint("job ", i)))
				if err != nil {
					refused("Enqueue", err)
					within(t, "the refusal", time.Since(asked), 10*time.Second)
					break
				}
				accepted = append(accepted, job)
			}
			_, err := producer.EnqueueAll(ctx, c.client, []task.Call[string]{do("more"), do("and more")})
			refused("EnqueueAll", err)
			tx := c.client.Begin()
			for range 3 {
				if _, err := producer.Enqueue(ctx, tx, do("staged")); err != nil {
					t.Fatal(err)
				}
			}
			refused("Commit", tx.Commit(ctx))
			if len(accepted) < 10 {
				t.Fatalf("%d jobs were accepted", len(accepted))
			}
			worker.begin()
			for i, job := range accepted {
				succeeds(c, job)
				c.starts(fmt.Sprint("job ", i), 1, 1)
			}
			c.drained()
			c.starts("more", 0, 0)
			if err := tx.Commit(ctx); err != nil { // there is room now
				t.Fatal(err)
			}
			c.history.await(t, "end", "staged", 3)
			c.drained()
		})
	}
}

func TestF33NoJobIsAckedWhoseOutcomeCannotBeStored(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.hire("first").begin()
	c.hire("second").begin()
	c.limit(c.broker.Outcomes(), func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = 5 })
	var jobs []*producer.Job[string]
	for i := range 10 {
		call := do(fmt.Sprint("job ", i)).OnSuccess(hear)
		if i%2 == 1 {
			call = call.With(task.WithoutQuota())
		}
		jobs = append(jobs, queue(c, call))
	}
	awaitTrue(t, "no more outcomes can be stored", func() bool {
		s, err := c.js.Stream(t.Context(), c.broker.Outcomes())
		return err == nil && s.CachedInfo().State.Msgs == 5
	})
	// One that is handed out again is claimed before it begins, and a full stream takes no claim: not all need to run now.
	awaitTrue(t, "all jobs without a quota are handed out", func() bool {
		free, err := c.js.Consumer(t.Context(), c.broker.Jobs(), stream.Consumer("default", stream.LaneFree))
		return err == nil && free.CachedInfo().NumPending == 0
	})
	time.Sleep(2 * shortLease) // a worker that gives up would let go of its jobs now
	ended := 0
	for _, job := range jobs {
		ended += len(c.outcomes("default", job.ID()))
	}
	left, err := c.broker.Left(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ended > 5 || int(left) < len(jobs)-ended {
		t.Errorf("%d of %d jobs have an outcome, and %d messages are left", ended, len(jobs), left)
	}
	c.limit(c.broker.Outcomes(), func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = -1 })
	for i, job := range jobs {
		succeeds(c, job)
		c.recorded("default", job.ID())
		c.history.await(t, "end", fmt.Sprint("hear job ", i), 1)
	}
	c.drained()
}
