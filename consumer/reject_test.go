package consumer_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/task"
)

// While a stream elects its leader nobody takes its subjects, as if it were gone. What is
// to be put aside there waits for it, and so can be queued again.
func TestWhatCannotBeReadWaitsForTheStreamThatTakesIt(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	b := broker(t, env)
	env.WorkWith(echoing(), consumer.Config{Logger: quiet})
	wait(t, patience, queue(t, env, echo.On(at, "before")))
	if err := env.JS.DeleteStream(t.Context(), b.Rejected()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(soon(t), &nats.Msg{Subject: b.Job("default", "default", alice.Owner(), task.NewID()), Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	wait(t, patience, queue(t, env, echo.On(at, "after")))
	n, err := b.Count(soon(t), b.Rejected(), ">")
	if err != nil || n != 1 {
		t.Errorf("%d messages are put aside (%v), want 1", n, err)
	}
}
