package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Handlers see the outcomes of all jobs, whoever queued them.
func Example_handlers() {
	play(siteRegistry(), func(ctx context.Context, js jetstream.JetStream, c *producer.Client) error {
		seen := make(chan string)
		sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{
			Success: func(_ context.Context, o task.Outcome) error {
				if o.Task != Add.Name() {
					return nil // it hears of all tasks
				}
				n, err := task.Result[int](o)
				seen <- fmt.Sprint("Success: ", n)
				return err
			},
			Failure: func(_ context.Context, o task.Outcome) error {
				seen <- "Failure: " + o.Failure.Message
				return nil
			},
		}, hooks.Config{Durable: "mailer"})
		if err != nil {
			return err
		}
		defer sub.Stop()

		const at = task.Object("/plone/folder")
		if _, err := producer.Enqueue(ctx, c, Create.On(at, NewDoc{ID: "foo", Title: "Foo"})); err != nil {
			return err
		}
		if _, err := producer.Enqueue(ctx, c, Add.On(at, AddArgs{A: 40, B: 2})); err != nil {
			return err
		}
		if _, err := producer.Enqueue(ctx, c, Break.On(at, task.None{})); err != nil {
			return err
		}
		fmt.Println(<-seen)
		fmt.Println(<-seen)
		return nil
	})
	// Output:
	// Success: 42
	// Failure: FooBared
}
