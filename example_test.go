package natsasync_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// alice queues the jobs of the examples.
var alice = task.User{Realm: "/plone/acl_users", ID: "alice"}

// story is what an example does once there are a server, a producer and a worker.
type story func(ctx context.Context, js jetstream.JetStream, c *producer.Client) error

// play tells a story as alice: on a throw-away server, with a worker of the queues named
// that knows what reg knows.
func play(reg *registry.Registry, tell story, queues ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := onServer(ctx, reg, tell, queues); err != nil {
		fmt.Println("error:", err)
	}
}

func onServer(ctx context.Context, reg *registry.Registry, tell story, queues []string) error {
	quiet := slog.New(slog.DiscardHandler)
	srv, err := embedded.Start(embedded.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() {
		if err := srv.Shutdown(context.WithoutCancel(ctx)); err != nil {
			log.Print(err)
		}
	}()
	nc, err := srv.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c, err := producer.New(ctx, js, producer.Config{Queues: queues, Logger: quiet})
	if err != nil {
		return err
	}

	w, err := consumer.New(ctx, js, reg, consumer.Config{Queues: queues, Trust: task.TrustBroker, Logger: quiet})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	told := tell(task.WithUser(ctx, alice), js, c)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	return told
}
