package consumer_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestPerf(t *testing.T) {
	if os.Getenv("PERF") == "" {
		t.Skip()
	}
	noop := task.Define[string, task.None]("noop")
	srv, err := embedded.Start(embedded.Config{Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc)
	ctx := t.Context()
	c, err := producer.New(ctx, js, producer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		for _, serial := range []bool{false, true} {
			n := 40000
			if serial {
				n = 10000
			}
			calls := make([]task.Call[task.None], n)
			for i := range calls {
				calls[i] = noop.On("/plone/folder", string(make([]byte, 100)))
				if !serial {
					calls[i] = calls[i].With(task.WithoutQuota())
				}
			}
			t0 := time.Now()
			if _, err := producer.EnqueueAll(task.WithUser(ctx, task.User{Realm: "/plone", ID: "alice"}), c, calls); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("round %d serial %v enqueue %.0f/s\n", round, serial, float64(n)/time.Since(t0).Seconds())
			reg := registry.New()
			registry.Handle(reg, noop, func(context.Context, task.Object, string) (task.None, error) { return task.None{}, nil })
			w, err := consumer.New(ctx, js, reg, consumer.Config{Trust: task.TrustBroker, Concurrency: 1000})
			if err != nil {
				t.Fatal(err)
			}
			run, stop := context.WithCancel(ctx)
			done := make(chan error)
			var ms0, ms1 runtime.MemStats
			runtime.ReadMemStats(&ms0)
			t0 = time.Now()
			go func() { done <- w.Run(run) }()
			var last atomic.Int64
			for {
				l, err := js.Stream(ctx, "NATSASYNC_JOBS")
				if err != nil {
					t.Fatal(err)
				}
				if l.CachedInfo().State.Msgs <= 1 {
					break
				}
				last.Store(int64(l.CachedInfo().State.Msgs))
				time.Sleep(2 * time.Millisecond)
			}
			d := time.Since(t0)
			runtime.ReadMemStats(&ms1)
			fmt.Printf("round %d serial %v drain %.0f/s  allocs(with server) %.1f\n", round, serial, float64(n)/d.Seconds(), float64(ms1.Mallocs-ms0.Mallocs)/float64(n))
			stop()
			<-done
		}
	}
}
