package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server that is shut down, without an error, when the test ends.
func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s interface{ Shutdown(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutting down: %v", err)
	}
}

func connect(t *testing.T, s interface {
	Connect(opts ...nats.Option) (*nats.Conn, error)
}, opts ...nats.Option,
) jetstream.JetStream {
	t.Helper()
	nc, err := s.Connect(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func makeStream(t *testing.T, js jetstream.JetStream, replicas int) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name:     "THINGS",
		Subjects: []string{"things.>"},
		Replicas: replicas,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func publish(t *testing.T, js jetstream.JetStream, subject, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
		t.Fatalf("publishing to %s: %v", subject, err)
	}
}

func lastBody(t *testing.T, js jetstream.JetStream, subject string) string {
	t.Helper()
	stream, err := js.Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return string(msg.Data)
}
