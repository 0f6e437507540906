package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// With fewer slots than lanes, as many, and more, over one and several workers: every
// job of a burst runs, and no worker runs more at once than it has slots.
func TestBurstsOverLanesAndWorkersAllRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ slots, workers int }{{1, 1}, {2, 1}, {3, 1}, {9, 1}, {50, 1}, {1, 3}, {10, 2}} {
		t.Run(fmt.Sprintf("%d slots in %d workers", c.slots, c.workers), func(t *testing.T) {
			t.Parallel()
			env := embeddedtest.New(t)
			namespace, _, client := apart(t, env, "docs")
			if err := client.Queue("docs").SetQuota(soon(t), "three", 3); err != nil {
				t.Fatal(err)
			}
			var ran, three atomic.Int64
			for range c.workers {
				var running atomic.Int64
				reg := registry.New()
				handle(reg, work, func(ctx context.Context, in string) (string, error) {
					if n := running.Add(1); n > int64(c.slots) {
						t.Errorf("%d handlers run in %d slots", n, c.slots)
					}
					defer running.Add(-1)
					if in == "three" {
						if n := three.Add(1); n > 3 {
							t.Errorf("%d jobs hold a quota of 3", n)
						}
						defer three.Add(-1)
					}
					runtime.Gosched()
					ran.Add(1)
					return in, nil
				})
				env.WorkWith(reg, consumer.Config{Namespace: namespace, Queues: []string{"default", "docs"}, Concurrency: c.slots, Logger: quiet})
			}
			var calls []task.Call[string]
			for i := range 240 {
				switch i % 4 {
				case 0:
					calls = append(calls, work.On(at, "default"))
				case 1:
					calls = append(calls, work.On(at, "free", task.WithoutQuota()))
				case 2:
					calls = append(calls, work.On(at, "docs", task.InQueue("docs")))
				default:
					calls = append(calls, work.On(at, "three", task.InQueue("docs"), task.WithQuota("three")))
				}
			}
			jobs, err := producer.EnqueueAll(soon(t), client, calls)
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range jobs {
				wait(t, 2*patience, job)
			}
			if n := ran.Load(); n != int64(len(calls)) {
				t.Errorf("%d runs of %d jobs", n, len(calls))
			}
		})
	}
}
