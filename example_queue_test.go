package natsasync_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

var (
	post = task.Define[string, task.None]("mail.post", task.InQueue("mail"), task.WithQuota("smtp"))
	meet = task.Define[task.None, task.None]("site.meet", task.WithQuota("pairs"))
)

// A queue can be looked at, paused, resumed and emptied.
func Example_queue() {
	reg := registry.New()
	registry.Handle(reg, post, func(context.Context, task.Object, string) (task.None, error) { return task.None{}, nil })
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		q := c.Queue("mail")
		if err := q.SetQuota(ctx, "smtp", 4); err != nil {
			return err
		}
		if err := q.Pause(ctx, time.Now().Add(time.Hour)); err != nil {
			return err
		}
		for _, to := range []string{"ann", "bob"} {
			if _, err := producer.Enqueue(ctx, c, post.On("", to)); err != nil {
				return err
			}
		}

		for st, err := range q.Jobs(ctx, producer.JobFilter{}) {
			if err != nil {
				return err
			}
			fmt.Println(st.Task, st.State, st.Quota)
		}
		quotas, err := q.Quotas(ctx)
		if err != nil {
			return err
		}
		for _, quota := range quotas {
			fmt.Println(quota.Name, "size", quota.Size, "pending", quota.Pending)
		}
		purged, err := q.Purge(ctx)
		if err != nil {
			return err
		}
		left, err := q.Len(ctx)
		fmt.Println("purged:", purged, "left:", left)
		return err
	}, "mail")
	// Output:
	// mail.post pending smtp
	// mail.post pending smtp
	// default size 1 pending 0
	// smtp size 4 pending 2
	// purged: 2 left: 0
}

// A quota of size 2 lets two jobs run at once; these two meet each other.
func Example_quota() {
	var both sync.WaitGroup
	both.Add(2)
	reg := registry.New()
	registry.Handle(reg, meet, func(context.Context, task.Object, task.None) (task.None, error) {
		both.Done()
		both.Wait()
		return task.None{}, nil
	})
	play(reg, func(ctx context.Context, _ jetstream.JetStream, c *producer.Client) error {
		if err := c.Queue("default").SetQuota(ctx, "pairs", 2); err != nil {
			return err
		}
		one, err := producer.Enqueue(ctx, c, meet.On("", task.None{}))
		if err != nil {
			return err
		}
		two, err := producer.Enqueue(ctx, c, meet.On("", task.None{}))
		if err != nil {
			return err
		}
		if _, err := one.Wait(ctx); err != nil {
			return err
		}
		_, err = two.Wait(ctx)
		fmt.Println("they met")
		return err
	})
	// Output: they met
}
