package consumer_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/task"
)

// A connection that is closed is nobody's to open again but its owner's: a worker that went on would be there and do
// nothing.
func TestAWorkerEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	nc, err := env.Server.Connect(nats.MaxReconnects(60))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	w, err := consumer.New(t.Context(), js, echoing(), consumer.Config{Trust: task.TrustBroker, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "nats.MaxReconnects(-1)") {
		t.Errorf("it does not warn of a connection that gives up:\n%s", log.String())
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context()) }()
	<-w.Ready()
	nc.Close()
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) || !strings.Contains(err.Error(), "nats.MaxReconnects(-1)") {
		t.Errorf("Run returned %v, want ErrConnectionClosed", err)
	}
}

// lines is what a logger wrote.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
