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

// A job runs as whoever queued it, with the rights that they have when it runs.
func Example_security() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		job, err := producer.Enqueue(ctx, c, Create.On("/plone", NewDoc{ID: "foo", Title: "Foo"}))
		if err != nil {
			return err
		}
		_, err = job.Wait(ctx)
		fmt.Println(errors.Is(err, task.ErrUnauthorized))
		fmt.Println(err)
		return nil
	})
	// Output:
	// true
	// registry: permission "Add content" on object "/plone": Add content on /plone: task: the user may not do this
}

// A user who is gone, and no user at all, may do nothing.
func Example_users() {
	play(siteRegistry(), func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		for _, user := range []task.User{alice, {ID: "mallory"}, {}} {
			as := task.WithUser(ctx, user)
			job, err := producer.Enqueue(as, c, Create.On("/plone/folder", NewDoc{ID: "foo", Title: "Foo"}))
			if err != nil {
				return err
			}
			_, err = job.Wait(as)
			switch {
			case err == nil:
				fmt.Println(user, "created it")
			case errors.Is(err, task.ErrNoSuchUser):
				fmt.Println(user, "is unknown")
			case errors.Is(err, task.ErrUnauthorized):
				fmt.Println(user, "may not")
			}
		}
		return nil
	})
	// Output:
	// /plone/acl_users:alice created it
	// mallory is unknown
	// anonymous may not
}

var moveTo = task.Define[task.Object, task.None]("doc.move")

// A handler asks for a right on a second object itself.
func Example_check() {
	reg := siteRegistry()
	registry.Handle(reg, moveTo, func(ctx context.Context, from *Folder, to task.Object) (task.None, error) {
		if err := registry.Check(ctx, "Add content", to); err != nil {
			return task.None{}, err
		}
		fmt.Println("moved to", to)
		return task.None{}, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		for _, to := range []task.Object{"/plone/folder/sub", "/plone/news"} {
			job, err := producer.Enqueue(ctx, c, moveTo.On("/plone/folder", to))
			if err != nil {
				return err
			}
			if _, err := job.Wait(ctx); errors.Is(err, task.ErrUnauthorized) {
				fmt.Println("may not move to", to)
			}
		}
		return nil
	})
	// Output:
	// moved to /plone/folder/sub
	// may not move to /plone/news
}
