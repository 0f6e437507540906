package natsasync_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A job can wait for its time, by the server's clock.
func Example_scheduled() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		queued := time.Now()
		job, err := producer.Enqueue(ctx, c, Add.On("/plone/folder", AddArgs{A: 20, B: 1}).With(task.Delay(time.Second)))
		if err != nil {
			return err
		}
		st, err := job.Status(ctx)
		if err != nil {
			return err
		}
		n, err := job.Wait(ctx)
		if err != nil {
			return err
		}
		fmt.Println(st.State, n, "not before its time:", time.Since(queued) >= time.Second)
		return nil
	})
	// Output: scheduled 21 not before its time: true
}

// A job that could not start in time fails instead of running late.
func Example_startWithin() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		if err := c.Queue("default").Pause(ctx, time.Now().Add(500*time.Millisecond)); err != nil {
			return err
		}
		call := Add.On("/plone/folder", AddArgs{A: 20, B: 1})
		job, err := producer.Enqueue(ctx, c, call.With(task.StartWithin(100*time.Millisecond)))
		if err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println(errors.Is(err, task.ErrExpired))
		return nil
	})
	// Output: true
}
