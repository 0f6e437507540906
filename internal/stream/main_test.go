package stream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/internal/stream"
)

// childDir is set in a child of the test process that is to be a server there.
const childDir = "STREAM_TEST_SERVER_DIR"

// patience is how long a test waits for what must come, on a busy machine.
const patience = time.Minute

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serve(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// serve is a server until the parent closes standard input.
func serve(dir string) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.Start()
	if srv.ReadyForConnections(patience) {
		fmt.Println(srv.ClientURL())
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

// startChild starts a server in a process of its own and returns its address. It is for tests that change streams and
// make consumers at the same time: nats-server 2.15.2 has a data race of its own there, which the race detector would
// lay to our charge.
func startChild(t *testing.T) string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+t.TempDir(), "GORACE=exitcode=0")
	stdin, err := child.StdinPipe()
	must(t, err)
	stdout, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = child.Wait()
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(url)
}

// startServer starts a server of its own for a test, in process, with the options changed by each edit.
func startServer(t *testing.T, edits ...func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	for _, edit := range edits {
		edit(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	return srv
}

func connect(t *testing.T, srv *server.Server, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return dial(t, "", append(opts, nats.InProcessServer(srv))...)
}

func dial(t *testing.T, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	var nc *nats.Conn
	var err error
	for range 10 { // on a busy machine the 2 s are few that a connection may take
		if nc, err = nats.Connect(url, append(opts, quiet)...); err == nil {
			break
		}
	}
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

func open(t *testing.T, js jetstream.JetStream, cfg stream.Config) *stream.Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := stream.Open(ctx, js, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newBroker opens the default namespace with the given queues on a new server.
func newBroker(t *testing.T, queues ...string) *stream.Broker {
	t.Helper()
	return open(t, connect(t, startServer(t)), stream.Config{Queues: queues})
}

func queueJob(t *testing.T, b *stream.Broker, subject, body string) uint64 {
	t.Helper()
	ack, err := b.JetStream().Publish(t.Context(), subject, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
