package natsasync_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var (
	render  = task.Define[string, string]("report.render")
	archive = task.Define[string, string]("report.archive")
)

// A job can hand over to another call: that call's outcome is its outcome.
func Example_continue() {
	reg := registry.New()
	registry.Handle(reg, render, func(_ context.Context, at task.Object, title string) (string, error) {
		return task.Continue(archive.On(at, title+".pdf"))
	})
	registry.Handle(reg, archive, func(_ context.Context, at task.Object, file string) (string, error) {
		return string(at) + "/" + file, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, render.On("/plone/folder", "2026"))
		if err != nil {
			return err
		}
		file, err := job.Wait(ctx) // no slot is held meanwhile
		fmt.Println(file)
		return err
	})
	// Output: /plone/folder/2026.pdf
}
