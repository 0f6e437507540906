package virtual_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/task"
)

// Half of the long claims are of jobs that are parked, which a claim in the stream says, half of the jobs that they wait
// for, which run.
func TestF31AStaleClaimBehindManyLongOnesIsTakenOverWithinTwoLeases(t *testing.T) {
	const lease = 30 * time.Second
	batches := int(seeds(1000, 5000))
	inVirtualTime(t, 1, lease, func(w *world) {
		w.hire("patient", &line{w: w}, func(c *consumer.Config) { c.Concurrency, c.Parked = batches, batches })
		for i := range batches {
			queue(w, batch.Parallel(act.On("", chore{Name: "long", Lasts: 24 * time.Hour})).With(task.WithoutQuota(), task.WithID(fmt.Sprint("long-", i))))
		}
		if !w.comes(time.Hour, func() bool { return len(w.started("long")) == batches }) {
			w.Fatalf("%d of %d jobs run", len(w.started("long")), batches)
		}
		time.Sleep(lease)
		doomed := &line{w: w}
		w.hire("doomed", doomed, func(c *consumer.Config) { c.Concurrency = 1 }) // the only one that has a slot
		stale := queue(w, batch.Serial(act.On("", chore{Name: "stale", Lasts: 2 * lease})).With(task.WithoutQuota()))
		w.comes(lease, func() bool { return len(w.started("stale")) == 1 })
		time.Sleep(w.upTo(lease))
		doomed.cut()
		lost := time.Now()
		w.hire("next", &line{w: w})
		w.comes(3*lease, func() bool { return len(w.started("stale")) == 2 })
		switch starts := w.started("stale"); {
		case len(starts) != 2:
			w.Errorf("the stale job started %d times: it was not taken over", len(starts))
		case starts[1].Sub(lost) > 2*lease:
			w.Errorf("it was taken over after %v", starts[1].Sub(lost))
		default:
			w.Logf("%d long claims, one stale: taken over after %v", 2*batches, starts[1].Sub(lost))
		}
		if end := w.outcome(stale.ID(), 15*time.Minute); end.Worker != "next" || end.End != task.Succeeded {
			w.Errorf("it %s by %s", end.End, end.Worker)
		}
		if n := len(w.started("long")); n != batches {
			w.Errorf("%d long jobs started %d times", batches, n)
		}
	})
}
