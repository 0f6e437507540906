package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Callbacks take the result, the failure or the whole outcome.
func Example_callbacks() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		const at = task.Object("/plone/folder")
		sum, err := producer.Enqueue(ctx, c, Add.On(at, AddArgs{A: 40, B: 2}).OnSuccess(Tell).OnFailure(Alert).OnDone(Log))
		if err != nil {
			return err
		}
		if _, err := sum.Wait(ctx); err != nil { // returns once the callbacks have run
			return err
		}

		broken, err := producer.Enqueue(ctx, c, Break.On(at, task.None{}).OnSuccess(Tell).OnFailure(Alert))
		if err != nil {
			return err
		}
		_, err = broken.Wait(ctx)
		fmt.Println("Wait:", err)
		return nil
	})
	// Output:
	// Success: 42
	// Log: math.add succeeded
	// Failure: FooBared
	// Wait: FooBared
}

var cleanUp = task.Define[string, task.None]("site.clean-up")

// Then adds a call with an input of its own; what it follows is in its context.
func Example_then() {
	reg := siteRegistry()
	registry.Handle(reg, cleanUp, func(ctx context.Context, _ task.Object, what string) (task.None, error) {
		before, _ := task.Preceding(ctx)
		fmt.Println("clean up", what, "after", before.Task, before.End)
		return task.None{}, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, Break.On("/plone/folder", task.None{}).Then(cleanUp.On("/plone", "the attic")))
		if err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println("Wait:", err)
		return nil
	})
	// Output:
	// clean up the attic after site.break failed
	// Wait: FooBared
}
