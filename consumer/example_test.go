package consumer_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// A worker runs until its context ends, and finishes what it has begun.
func ExampleWorker() {
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

	greet := task.Define[string, string]("site.greet")
	reg := registry.New()
	registry.Handle(reg, greet, func(_ context.Context, _ task.Object, name string) (string, error) {
		return "hello " + name, nil
	})
	quiet := slog.New(slog.DiscardHandler)
	w, err := consumer.New(ctx, js, reg, consumer.Config{Trust: task.TrustBroker, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	working, stop := context.WithCancel(ctx) // a program takes signal.NotifyContext
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()

	c, err := producer.New(ctx, js, producer.Config{Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	job, err := producer.Enqueue(ctx, c, greet.On("", "world"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.Wait(ctx))
	stop()
	fmt.Println(<-ended)
	// Output:
	// hello world <nil>
	// <nil>
}
