package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestF01WithoutAFaultEveryJobRunsOnceAndInItsPlace(t *testing.T) {
	t.Parallel()
	const size = 2000
	queues := []string{"default", "mail", "feeds"}
	c := newCell(t, queues...)
	for i := range 4 {
		c.hire(fmt.Sprint("worker-", i), func(cfg *consumer.Config) { cfg.Queues = queues }).begin()
	}
	var calls []task.Call[string]
	for i := range size {
		call := do(fmt.Sprint("job ", i)).With(task.InQueue(queues[i%len(queues)]))
		if i%10 > 3 {
			call = call.With(task.WithoutQuota())
		}
		calls = append(calls, call)
	}
	ctx, cancel := context.WithTimeout(task.WithUser(t.Context(), jane), patience)
	defer cancel()
	jobs, err := producer.EnqueueAll(ctx, c.client, calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		succeeds(c, job)
	}
	c.drained()

	place := map[string]int{}
	for i, job := range jobs {
		place[job.ID()] = i
	}
	ended := map[string]uint64{} // the sequence of each outcome, by ID
	for m, err := range c.broker.Range(t.Context(), c.broker.Outcomes(), c.broker.OutcomeFilter("*", "*"), 0) {
		if err != nil {
			t.Fatal(err)
		}
		r := c.broker.ReadStanding(m).Record
		if r == nil { // the claim of a job that waited in a worker and was handed out anew
			continue
		}
		if i, known := place[r.ID]; !known || ended[r.ID] != 0 || r.Attempt != 1 || r.Task != act.Name() || r.Queue != queues[i%len(queues)] || r.User != jane {
			t.Errorf("the outcome %d of job %d is %+v", m.Seq, i, r.Outcome)
		}
		ended[r.ID] = m.Seq
	}
	if len(ended) != size {
		t.Errorf("%d jobs have an outcome, want %d", len(ended), size)
	}
	started := map[string]bool{}
	last := map[string]int{} // which job of a lane of size 1 started last, by queue
	for _, l := range c.history.read(t) {
		if l.Event != "start" {
			continue
		}
		i := place[l.ID]
		if started[l.ID] || l.Attempt != 1 || l.User != jane {
			t.Errorf("job %d: %+v", i, l)
		}
		started[l.ID] = true
		if i%10 > 3 {
			continue
		}
		queue := queues[i%len(queues)]
		if before, any := last[queue]; any && (before > i || ended[jobs[before].ID()] > ended[l.ID]) {
			t.Errorf("in queue %s job %d started after job %d, their outcomes are %d and %d", queue, i, before, ended[l.ID], ended[jobs[before].ID()])
		}
		last[queue] = i
	}
	if len(started) != size {
		t.Errorf("%d jobs have started, want %d", len(started), size)
	}
}
