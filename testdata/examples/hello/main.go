package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func main() {
	add := task.Define[[2]int, int]("math.add") // producer and worker share this
	ctx, reg := context.Background(), registry.New()
	registry.Handle(reg, add, func(_ context.Context, _ task.Object, in [2]int) (int, error) { return in[0] + in[1], nil })
	js := must(jetstream.New(must(must(embedded.Start(embedded.Config{})).Connect())))
	go must(consumer.New(ctx, js, reg, consumer.Config{Trust: task.TrustBroker})).Run(ctx)
	job := must(producer.Enqueue(ctx, must(producer.New(ctx, js, producer.Config{})), add.On("/plone/folder", [2]int{40, 2})))
	fmt.Println(must(job.Wait(ctx)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
