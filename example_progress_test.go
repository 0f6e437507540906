package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var resize = task.Define[int, task.None]("image.resize")

// A handler says how far it is, and leaves notes for whoever looks.
func Example_progress() {
	seen := make(chan struct{})
	reg := registry.New()
	registry.Handle(reg, resize, func(ctx context.Context, _ task.Object, images int) (task.None, error) {
		task.Progress(ctx, 0.4, "resizing")
		<-seen
		return task.None{}, task.Note(ctx, "images", images)
	})
	play(reg, func(ctx context.Context, js jetstream.JetStream, c *producer.Client) error {
		told := make(chan task.Event, 1)
		sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{
			Progress: func(_ context.Context, e task.Event) { told <- e },
		}, hooks.Config{})
		if err != nil {
			return err
		}
		defer sub.Stop()
		job, err := producer.Enqueue(ctx, c, resize.On("", 7))
		if err != nil {
			return err
		}

		e := <-told
		fmt.Printf("%.0f%% %s\n", 100*e.Progress, e.Text)
		close(seen)
		if _, err := job.Wait(ctx); err != nil {
			return err
		}
		st, err := job.Status(ctx)
		if err != nil {
			return err
		}
		var images int
		err = task.Unmarshal(st.Notes["images"], &images)
		fmt.Println(st.State, "images:", images)
		return err
	})
	// Output:
	// 40% resizing
	// completed images: 7
}
