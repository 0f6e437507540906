package hooks_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A handler hears of every job that is cancelled, in whatever queue.
func ExampleSubscribe() {
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
	silent := slog.New(slog.DiscardHandler)
	c, err := producer.New(ctx, js, producer.Config{Logger: silent})
	if err != nil {
		log.Fatal(err)
	}

	heard := make(chan task.Outcome)
	sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{
		Cancelled: func(_ context.Context, o task.Outcome) error { heard <- o; return nil },
	}, hooks.Config{Durable: "audit", Logger: silent})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Stop()

	job, err := producer.Enqueue(ctx, c, task.Define[string, task.None]("mail.send").On("", "hello"))
	if err != nil {
		log.Fatal(err)
	}
	if err := job.Cancel(ctx); err != nil {
		log.Fatal(err)
	}
	o := <-heard
	fmt.Println(o.Task, o.End)
	// Output: mail.send cancelled
}
