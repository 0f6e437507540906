package natsasync_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var (
	fetch  = task.Define[string, int]("web.fetch")
	charge = task.Define[int, string]("shop.charge", task.Retry(task.Policy{Attempts: 3, Delay: 10 * time.Millisecond}))
	order  = task.Define[string, string]("shop.order")
	nap    = task.Define[time.Duration, task.None]("site.nap")
)

// An error is final unless it says that it is passing.
func Example_retry() {
	reg := registry.New()
	registry.Handle(reg, fetch, func(ctx context.Context, _ task.Object, url string) (int, error) {
		job, _ := task.JobFrom(ctx)
		if job.Attempt < 3 {
			return 0, task.Retryable(errors.New("connection refused"))
		}
		return job.Attempt, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, fetch.On("", "https://example.org/"))
		if err != nil {
			return err
		}
		attempts, err := job.Wait(ctx)
		fmt.Println("attempts:", attempts)
		return err
	})
	// Output: attempts: 3
}

// With a policy every error is tried again, but one that is Permanent.
func Example_policy() {
	reg := registry.New()
	registry.Handle(reg, charge, func(_ context.Context, _ task.Object, cents int) (string, error) {
		if cents < 0 {
			return "", task.Permanent(errors.New("a negative amount"))
		}
		return "", errors.New("the bank does not answer")
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		for _, cents := range []int{500, -1} {
			job, err := producer.Enqueue(ctx, c, charge.On("", cents))
			if err != nil {
				return err
			}
			_, err = job.Wait(ctx)
			if f, failed := errors.AsType[*task.Failure](err); failed {
				fmt.Println(f.Message, "in attempt", f.Attempt)
			}
		}
		return nil
	})
	// Output:
	// the bank does not answer in attempt 3
	// a negative amount in attempt 1
}

// A failure can have a code of the application's own, and a failed job can be queued again.
func Example_failure() {
	outOfStock := task.Fail("out_of_stock", "") // without a message it matches any
	var stock atomic.Int64
	reg := registry.New()
	registry.Handle(reg, order, func(_ context.Context, _ task.Object, item string) (string, error) {
		if stock.Add(-1) < 0 {
			return "", task.Fail("out_of_stock", "there are none left")
		}
		return "sent " + item, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, order.On("", "a lamp"))
		if err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println(errors.Is(err, outOfStock), err)

		stock.Store(1)
		again, err := c.Retry(ctx, job.ID())
		if err != nil {
			return err
		}
		sent, err := producer.Find[string](c, again.ID()).Wait(ctx)
		fmt.Println(sent)
		return err
	})
	// Output:
	// true there are none left
	// sent a lamp
}

// An attempt that takes too long ends.
func Example_timeout() {
	reg := registry.New()
	registry.Handle(reg, nap, func(ctx context.Context, _ task.Object, d time.Duration) (task.None, error) {
		select {
		case <-time.After(d):
			return task.None{}, nil
		case <-ctx.Done():
			return task.None{}, context.Cause(ctx)
		}
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, nap.On("", time.Hour, task.Timeout(50*time.Millisecond)))
		if err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println(errors.Is(err, task.ErrTimeout))
		return nil
	})
	// Output: true
}
