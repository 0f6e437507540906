package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestNoJobWaitsInABusyWorkerWhileAnotherIdles(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	lanes := []string{"red", "green", "blue"}
	for _, l := range lanes {
		if err := c.client.Queue("default").SetQuota(t.Context(), l, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range lanes {
		c.hire(fmt.Sprint("worker-", i), func(cfg *consumer.Config) { cfg.Concurrency = 1 }).begin()
	}
	var jobs []*producer.Job[string]
	queued := time.Now()
	for _, l := range lanes {
		jobs = append(jobs, queue(c, follow(script{Name: l, Sleep: 700 * time.Millisecond}).With(task.WithQuota(l))))
	}
	for _, job := range jobs {
		succeeds(c, job)
	}
	within(t, "three jobs of 0.7 s for three workers of one slot", time.Since(queued), 1500*time.Millisecond)
}
