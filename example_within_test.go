package natsasync_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var (
	importAll = task.Define[bool, string]("site.import")
	index     = task.Define[string, string]("site.index")
)

// What a job queues is queued if and only if the job succeeds.
func Example_within() {
	reg := registry.New()
	registry.Handle(reg, importAll, func(ctx context.Context, at task.Object, good bool) (string, error) {
		job, err := producer.Enqueue(ctx, producer.Within(ctx), index.On(at, "all"))
		if err != nil {
			return "", err
		}
		if !good {
			return "", errors.New("the file is broken")
		}
		return job.ID(), nil
	})
	registry.Handle(reg, index, func(ctx context.Context, at task.Object, what string) (string, error) {
		return fmt.Sprint("indexed ", what, " as ", task.UserFrom(ctx).ID), nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		bad, err := producer.Enqueue(ctx, c, importAll.On("/plone", false))
		if err != nil {
			return err
		}
		_, err = bad.Wait(ctx)
		fmt.Println(err)

		good, err := producer.Enqueue(ctx, c, importAll.On("/plone", true))
		if err != nil {
			return err
		}
		id, err := good.Wait(ctx)
		if err != nil {
			return err
		}
		indexed, err := producer.Find[string](c, id).Wait(ctx)
		fmt.Println(indexed)
		return err
	})
	// Output:
	// the file is broken
	// indexed all as alice
}
