package embedded_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
)

func ExampleStart() {
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
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "THINGS", Subjects: []string{"things.>"}})
	if err != nil {
		log.Fatal(err)
	}
	ack, err := js.Publish(ctx, "things.first", []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ack.Stream, ack.Sequence)
	// Output: THINGS 1
}

func ExampleStartCluster() {
	ctx := context.Background()
	cluster, err := embedded.StartCluster(3, embedded.Config{Name: "demo"})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Shutdown(ctx)
	for _, srv := range cluster.Servers() {
		fmt.Println(srv.Server().Name())
	}
	// Output:
	// demo-1
	// demo-2
	// demo-3
}
