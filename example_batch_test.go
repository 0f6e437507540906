package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A queue runs its jobs one at a time, in the order in which they were queued.
func Example_order() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		const at = task.Object("/plone/folder")
		_, err := producer.Enqueue(ctx, c, Create.On(at, NewDoc{ID: "foo", Title: "Foo"}))
		if err != nil {
			return err
		}
		submitted, err := producer.Enqueue(ctx, c, Submit.On(at, "foo"))
		if err != nil {
			return err
		}
		state, err := submitted.Wait(ctx) // so the document has been created, too
		if err != nil {
			return err
		}
		fmt.Println(state)
		return nil
	})
	// Output: pending
}

// A serial batch is one job: its members run one after another.
func Example_serialBatch() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		const at = task.Object("/plone/folder")
		job, err := producer.Enqueue(ctx, c, batch.Serial(
			Create.On(at, NewDoc{ID: "bar", Title: "Bar"}),
			Submit.On(at, "bar"),
			Submit.On(at, "baz"), // there is none: this member fails, the batch does not
		))
		if err != nil {
			return err
		}
		res, err := job.Wait(ctx)
		if err != nil {
			return err
		}
		id, err := task.Result[string](res[0])
		if err != nil {
			return err
		}
		fmt.Println(id, res[1].End, res[2].End)
		fmt.Println(res.Err())
		return nil
	})
	// Output:
	// bar succeeded failed
	// batch: member 3: there is no document /plone/folder/baz
}

// The members of a parallel batch run at once, on any workers.
func Example_parallelBatch() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		const at = task.Object("/plone/folder")
		job, err := producer.Enqueue(ctx, c, batch.Parallel(
			Add.On(at, AddArgs{A: 1, B: 1}),
			Add.On(at, AddArgs{A: 2, B: 2}),
			Add.On(at, AddArgs{A: 3, B: 3}),
		))
		if err != nil {
			return err
		}
		res, err := job.Wait(ctx) // in the order of the calls
		if err != nil {
			return err
		}
		for _, o := range res {
			sum, err := task.Result[int](o)
			if err != nil {
				return err
			}
			fmt.Println(sum)
		}
		return nil
	})
	// Output:
	// 2
	// 4
	// 6
}
