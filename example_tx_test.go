package natsasync_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A Tx queues several calls, all or none, when it is committed.
func Example_tx() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		const at = task.Object("/plone/folder")
		tx := c.Begin()
		defer tx.Abort() // does nothing after a Commit
		if _, err := producer.Enqueue(ctx, tx, Create.On(at, NewDoc{ID: "foo", Title: "Foo"})); err != nil {
			return err
		}
		submitted, err := producer.Enqueue(ctx, tx, Submit.On(at, "foo"))
		if err != nil {
			return err
		}
		mine, err := tx.Queue("default").Len(ctx)
		if err != nil {
			return err
		}
		theirs, err := c.Queue("default").Len(ctx)
		if err != nil {
			return err
		}
		fmt.Println("staged:", mine, "seen by others:", theirs)

		if err := tx.Commit(ctx); err != nil {
			return err
		}
		state, err := submitted.Wait(ctx)
		fmt.Println(state)
		return err
	})
	// Output:
	// staged: 2 seen by others: 0
	// pending
}

// What was staged in a Tx that is aborted was never queued.
func Example_abort() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		tx := c.Begin()
		job, err := producer.Enqueue(ctx, tx, Add.On("/plone/folder", AddArgs{A: 40, B: 2}))
		if err != nil {
			return err
		}
		tx.Abort()

		_, err = job.Wait(ctx)
		fmt.Println(errors.Is(err, producer.ErrAborted))
		return nil
	})
	// Output: true
}
