package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A client needs no worker to queue. Its Before may refuse a call, here one of nobody.
func ExampleNew() {
	ctx := context.Background()
	srv, err := embedded.Start(embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(ctx)
	nc, err := srv.Connect()
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	c, err := producer.New(ctx, js, producer.Config{
		Queues: []string{"mail"},
		Before: func(ctx context.Context, call task.Spec) error {
			if task.UserFrom(ctx).Anonymous() {
				return errors.New("log in first")
			}
			return nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}

	send := task.Define[string, task.None]("mail.send", task.InQueue("mail"))
	_, err = producer.Enqueue(ctx, c, send.On("", "hello"))
	fmt.Println(err)

	ctx = task.WithUser(ctx, task.User{Realm: "/plone/acl_users", ID: "alice"})
	job, err := producer.Enqueue(ctx, c, send.On("", "hello"))
	if err != nil {
		log.Fatal(err)
	}
	st, err := job.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.Task, "of", st.User, "is", st.State)
	// Output:
	// producer: mail.send: refused by Config.Before: log in first
	// mail.send of /plone/acl_users:alice is pending
}
