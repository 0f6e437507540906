package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A call is queued, run by a worker and waited for.
func Example_basic() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		sum, err := producer.Enqueue(ctx, c, Add.On("/plone/folder", AddArgs{A: 40, B: 2}))
		if err != nil {
			return err
		}
		n, err := sum.Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Println(n)

		done, err := sum.Outcome(ctx)
		if err != nil {
			return err
		}
		fmt.Println(done.Task, done.End, "for", done.User)
		return nil
	})
	// Output:
	// 42
	// math.add succeeded for /plone/acl_users:alice
}

// An ID is enough to wait for a job in another process, and to queue it again safely.
func Example_find() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		call := Add.On("/plone/folder", AddArgs{A: 40, B: 2}).With(task.WithID("invoice-7"))
		for range 2 { // the second makes no second job
			if _, err := producer.Enqueue(ctx, c, call); err != nil {
				return err
			}
		}
		n, err := producer.Find[int](c, "invoice-7").Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Println(n)

		ended := 0
		for _, err := range c.Outcomes(ctx, producer.OutcomeFilter{Task: Add.Name()}) {
			if err != nil {
				return err
			}
			ended++
		}
		fmt.Println("outcomes:", ended)
		return nil
	})
	// Output:
	// 42
	// outcomes: 1
}

// Many calls are queued fast and one by one.
func Example_many() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		var calls []task.Call[int]
		for i := range 100 {
			calls = append(calls, Add.On("/plone/folder", AddArgs{A: i, B: 1}))
		}
		jobs, err := producer.EnqueueAll(ctx, c, calls)
		if err != nil {
			return err
		}
		total := 0
		for _, job := range jobs {
			n, err := job.Wait(ctx)
			if err != nil {
				return err
			}
			total += n
		}
		fmt.Println(total)
		return nil
	})
	// Output: 5050
}
