package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	alice = task.User{Realm: "/plone/acl_users", ID: "alice"}
	quiet = slog.New(slog.DiscardHandler)

	echo  = task.Define[string, string]("test.echo")
	work  = task.Define[string, string]("test.work")
	other = task.Define[string, string]("test.other")
	heard = task.Define[task.Outcome, task.None]("test.heard")
)

const at = task.Object("/plone/folder")

// patience is how long a test waits for what must come, on a busy machine.
const patience = time.Minute

// promptly is for what must not wait until a pull ends or a parked job looks by itself, half a minute.
const promptly = 20 * time.Second

// soon ends after the test's patience.
func soon(t *testing.T) context.Context { return within(t, patience) }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(task.WithUser(t.Context(), alice), d)
	t.Cleanup(cancel)
	return ctx
}

// apart is a namespace beside that of the environment with a lease that a busy machine does not lose, and its producer.
func apart(t *testing.T, env *embeddedtest.Env, queues ...string) (namespace string, lease time.Duration, client *producer.Client) {
	t.Helper()
	namespace, lease = "apart", 30*time.Second
	client, err := producer.New(soon(t), env.JS, producer.Config{Namespace: namespace, Queues: queues, Lease: lease, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return namespace, lease, client
}

func queue[Out any](t *testing.T, env *embeddedtest.Env, call task.Call[Out]) *producer.Job[Out] {
	t.Helper()
	job, err := producer.Enqueue(soon(t), env.Client, call)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func wait[Out any](t *testing.T, d time.Duration, job *producer.Job[Out]) Out {
	t.Helper()
	v, err := job.Wait(within(t, d))
	if err != nil {
		t.Fatalf("wait for %s: %v", job.ID(), err)
	}
	return v
}

// handle registers a function that needs no object.
func handle(reg *registry.Registry, d task.Definition[string, string], fn func(context.Context, string) (string, error)) {
	registry.Handle(reg, d, func(ctx context.Context, _ task.Object, in string) (string, error) { return fn(ctx, in) })
}

// echoing is a registry with the task echo.
func echoing() *registry.Registry {
	reg := registry.New()
	handle(reg, echo, func(_ context.Context, in string) (string, error) { return in, nil })
	return reg
}

func broker(t *testing.T, env *embeddedtest.Env) *stream.Broker {
	t.Helper()
	b, err := stream.Open(soon(t), env.JS, stream.Config{BindOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until asks again until ok says yes.
func until(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for ctx := within(t, d); !ok(); {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, d)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func receive[T any](t *testing.T, d time.Duration, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(d):
		t.Fatalf("%s: not within %v", what, d)
	}
	panic("unreachable")
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}
