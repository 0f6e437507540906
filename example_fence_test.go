package natsasync_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var setPrice = task.Define[int, task.None]("shop.set-price")

// Price is a storage that refuses the write of a job that is not the newest.
type Price struct {
	mu    sync.Mutex
	cents int
	fence uint64
}

// Set writes if fence is not smaller than that of the last write.
func (p *Price) Set(cents int, fence uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fence < p.fence {
		return fmt.Errorf("a newer job has written: %d is less than %d", fence, p.fence)
	}
	p.cents, p.fence = cents, fence
	return nil
}

// The fence lets a storage refuse what an old attempt writes after it was replaced.
func Example_fence() {
	var price Price
	reg := registry.New()
	registry.Handle(reg, setPrice, func(ctx context.Context, _ task.Object, cents int) (task.None, error) {
		job, _ := task.JobFrom(ctx)
		return task.None{}, price.Set(cents, job.Fence)
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		for _, cents := range []int{100, 200} {
			job, err := producer.Enqueue(ctx, c, setPrice.On("", cents))
			if err != nil {
				return err
			}
			if _, err := job.Wait(ctx); err != nil {
				return err
			}
		}
		stale := price.Set(100, price.fence-1) // the first job, in a worker that slept
		fmt.Println(price.cents, stale != nil)
		return nil
	})
	// Output: 200 true
}
