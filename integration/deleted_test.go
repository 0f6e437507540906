package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// again queues a job until it is taken: while a stream is gone there is no queue.
func (c *cell) again(call task.Call[string]) *producer.Job[string] {
	c.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var job *producer.Job[string]
		ctx, cancel := context.WithTimeout(task.WithUser(c.t.Context(), jane), 5*time.Second)
		job, err = producer.Enqueue(ctx, c.client, call)
		cancel()
		if err == nil {
			return job
		}
	}
	c.t.Fatalf("the job is not taken: %v", err)
	return nil
}

func (c *cell) thereAgain(stream string) {
	c.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err = c.js.Stream(c.t.Context(), stream); err == nil {
			return
		}
	}
	c.t.Fatalf("the stream %s does not come back: %v", stream, err)
}

func TestF22AWorkerMakesAStreamAgainThatWasDeleted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"NATSASYNC_JOBS", "NATSASYNC_LATER", "NATSASYNC_OUTCOMES"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t)
			c.hire("worker").begin()
			succeeds(c, queue(c, do("before")))
			running := queue(c, gated("running", "gate").With(task.WithoutQuota()))
			c.history.await(t, "start", "running", 1)
			if err := c.js.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			c.open("gate")
			c.thereAgain(name)
			succeeds(c, running)
			succeeds(c, c.again(do("after")))
			succeeds(c, c.again(do("later").With(task.Delay(100*time.Millisecond))))
			c.starts("running", 1, 1)
			c.starts("after", 1, 1)
			c.starts("later", 1, 1)
			installation := c.broker.Installation()
			fresh := cellOn(t, c.url, 0)
			if now := fresh.broker.Installation(); now != installation {
				t.Errorf("the installation is %s now and was %s", now, installation)
			}
			if now := fresh.broker.Lease(); now != shortLease {
				t.Errorf("the lease is %v now and was %v", now, shortLease)
			}
		})
	}
}
