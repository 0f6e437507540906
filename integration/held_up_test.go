package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// What a worker sends while its line is held up arrives all at once: the outcome of a member, and the look whether it was
// stored, which the server may answer first. The worker then sends the outcome again.
func TestAMemberWhoseRecordWasHeldUpHasOneOutcome(t *testing.T) {
	t.Parallel()
	const batches = 10 // as many as the worker has slots
	c := newCellWithLease(t, 30*time.Second)
	w := newWire(t, c.url)
	c.hireBehind(w, "held-up").begin()
	var all []*producer.Job[batch.Results]
	for i := range batches {
		all = append(all, queue(c, batch.Serial(gated(fmt.Sprint("member ", i), "gate"), do("last")).With(task.WithoutQuota())))
	}
	for i := range batches {
		c.history.await(t, "start", fmt.Sprint("member ", i), 1)
	}
	w.cut()
	c.open("gate")
	for i := range batches {
		c.history.await(t, "end", fmt.Sprint("member ", i), 1)
	}
	time.Sleep(5 * time.Second) // until the worker has missed the answers, and looks
	w.heal()
	for _, job := range all {
		succeeds(c, job)
		c.recorded("default", job.ID())
		c.recorded("default", job.ID()+".1")
		c.recorded("default", job.ID()+".2")
	}
}
