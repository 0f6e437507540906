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

var listen = task.Define[task.None, task.None]("radio.listen")

// A cancelled job ends for everybody at once; if it runs, its context ends.
func Example_cancel() {
	running, heard := make(chan struct{}), make(chan error)
	reg := registry.New()
	registry.Handle(reg, listen, func(ctx context.Context, _ task.Object, _ task.None) (task.None, error) {
		close(running)
		<-ctx.Done()
		heard <- context.Cause(ctx)
		return task.None{}, context.Cause(ctx)
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, listen.On("", task.None{}))
		if err != nil {
			return err
		}
		<-running
		if err := job.Cancel(ctx); err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println("waiter:", errors.Is(err, task.ErrCancelled))
		fmt.Println("handler:", errors.Is(<-heard, task.ErrCancelled))
		return nil
	})
	// Output:
	// waiter: true
	// handler: true
}
