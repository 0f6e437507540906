package natsasync_test

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
)

// A callback can be added to a job that is queued already, and to one that has ended.
func Example_lateCallback() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		sum, err := producer.Enqueue(ctx, c, Add.On("/plone/folder", AddArgs{A: 40, B: 2}))
		if err != nil {
			return err
		}
		if _, err := sum.Wait(ctx); err != nil {
			return err
		}

		late, err := producer.Find[int](c, sum.ID()).OnSuccess(ctx, Tell)
		if err != nil {
			return err
		}
		_, err = late.Wait(ctx) // it is a job of its own
		return err
	})
	// Output: Success: 42
}
