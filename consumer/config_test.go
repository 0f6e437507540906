package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestConfigErrorsNameTheFieldAndTheFix(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	good := consumer.Config{Trust: task.TrustBroker, Logger: quiet}
	for _, c := range []struct {
		name   string
		change func(*consumer.Config)
		want   []string
	}{
		{"no trust", func(c *consumer.Config) { c.Trust = nil }, []string{"trust is not set", "Config.Trust"}},
		{"queue", func(c *consumer.Config) { c.Queues = []string{"mail.out"} }, []string{`queue "mail.out"`, `"mail-out"`}},
		{"many slots", func(c *consumer.Config) { c.Concurrency = 100_001 }, []string{"concurrency 100001", "100,000"}},
		{"negative slots", func(c *consumer.Config) { c.Concurrency = -1 }, []string{"concurrency -1"}},
		{"parked", func(c *consumer.Config) { c.Parked = -1 }, []string{"parked -1"}},
		{"shutdown timeout", func(c *consumer.Config) { c.ShutdownTimeout = -1 }, []string{"shutdown timeout -1ns"}},
		{"unknown grace", func(c *consumer.Config) { c.UnknownGrace = -1 }, []string{"unknown grace -1ns"}},
		{"name", func(c *consumer.Config) { c.Name = "a b" }, []string{`name "a b"`}},
		{"name that is no UTF-8", func(c *consumer.Config) { c.Name = "a\xff\xfe" }, []string{`name "a\xff\xfe"`, "UTF-8"}},
		{"name with a control", func(c *consumer.Config) { c.Name = "a\x1b[31m" }, []string{`name "a\x1b[31m"`}},
		{"name with a format character", func(c *consumer.Config) { c.Name = "a\u202eb" }, []string{`name "a\u202eb"`}},
		{"name with a line separator", func(c *consumer.Config) { c.Name = "a\u2028b" }, []string{`name "a\u2028b"`}},
		{"long lease", func(c *consumer.Config) { c.Lease = 24*time.Hour + 1 }, []string{"lease 24h0m0.000000001s", "at most 24h0m0s"}},
		{"longest lease", func(c *consumer.Config) { c.Lease = 1<<63 - 1 }, []string{"lease", "at most 24h0m0s"}},
		{"negative lease", func(c *consumer.Config) { c.Lease = -1 }, []string{"lease", "-1ns"}},
		{"lease", func(c *consumer.Config) { c.Lease = 7 * time.Second }, []string{"7s", embeddedtest.Lease.String()}},
		{"short lease", func(c *consumer.Config) { c.Lease = time.Millisecond }, []string{"lease", "1ms"}},
		{"namespace", func(c *consumer.Config) { c.Namespace = "A" }, []string{`namespace "A"`}},
		{"bind only", func(c *consumer.Config) { c.BindOnly, c.Queues = true, []string{"nobody"} }, []string{`queue "nobody"`, `"default"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			c.change(&cfg)
			_, err := consumer.New(t.Context(), env.JS, echoing(), cfg)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "consumer: ") {
				t.Errorf("error %q does not begin with its package", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
	for _, name := range []string{"wörker/1:a", "w-1.example.org", "李"} {
		cfg := good
		cfg.Name = name
		if w, err := consumer.New(t.Context(), env.JS, echoing(), cfg); err != nil || w.Name() != name {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, err := consumer.New(t.Context(), env.JS, registry.New(), good); err == nil || !strings.Contains(err.Error(), "knows no task") {
		t.Errorf("an empty registry: error is %v", err)
	}
	if _, err := consumer.New(t.Context(), env.JS, nil, good); err == nil {
		t.Error("a nil registry is no error")
	}
	if _, err := consumer.New(t.Context(), nil, echoing(), good); err == nil || !strings.Contains(err.Error(), "jetstream.New") {
		t.Errorf("no JetStream: error is %v", err)
	}
}

func TestNewWithoutAServerSaysSoInTime(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = consumer.New(ctx, js, echoing(), consumer.Config{Trust: task.TrustBroker, Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), "no server at") {
		t.Errorf("error is %v", err)
	}
}

func TestRunIsCalledOnceAndHealthNeedsIt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	w, err := consumer.New(t.Context(), env.JS, echoing(), consumer.Config{Trust: task.TrustBroker, Logger: quiet, Name: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	if w.Name() != "w1" {
		t.Errorf("name is %q", w.Name())
	}
	if err := w.Health(soon(t)); err == nil || !strings.Contains(err.Error(), "Run") {
		t.Errorf("health before Run is %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	receive(t, patience, "ready", w.Ready())
	if err := w.Health(t.Context()); err != nil {
		t.Errorf("health while it runs is %v", err)
	}
	if err := w.Run(ctx); err == nil {
		t.Error("a second Run is no error")
	}
	stop()
	if err := receive(t, patience, "Run returns", ended); err != nil {
		t.Errorf("Run returned %v", err)
	}
}
