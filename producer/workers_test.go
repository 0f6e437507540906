package producer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/micro"

	"github.com/natsasync/natsasync/producer"
)

func TestWorkersDescribeThemselves(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	if workers, err := w.client.Workers(t.Context()); err != nil || len(workers) != 0 {
		t.Fatalf("workers are %v, %v", workers, err)
	}
	started := time.Now().UTC().Truncate(time.Second)
	serve := func(namespace, host string) micro.Service {
		s, err := micro.AddService(w.js.Conn(), micro.Config{Name: "natsasync-worker", Version: "1.2.3", Metadata: map[string]string{
			"worker": "mill", "namespace": namespace, "queues": "default,docs", "tasks": "math.add", "concurrency": "10",
			"host": host, "pid": "77", "started": started.Format(time.RFC3339),
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	b, a := serve("natsasync", "b.example"), serve("natsasync", "a.example")
	serve("other", "c.example")
	got, err := w.client.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	describe := func(s micro.Service, host string) producer.Worker {
		return producer.Worker{
			ID: s.Info().ID, Name: "mill", Version: "1.2.3", Host: host, PID: 77, Concurrency: 10,
			Queues: []string{"default", "docs"}, Tasks: []string{"math.add"}, Started: started,
		}
	}
	if d := cmp.Diff([]producer.Worker{describe(a, "a.example"), describe(b, "b.example")}, got); d != "" {
		t.Errorf("workers: %s", d)
	}
}
