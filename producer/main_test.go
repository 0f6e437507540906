package producer_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type args struct{ A, B int }

var (
	add    = task.Define[args, int]("math.add")
	create = task.Define[string, string]("doc.create", task.InQueue("docs"))
	tell   = task.Define[int, task.None]("mail.sum")
	alert  = task.Define[task.Failure, task.None]("mail.alert")
	audit  = task.Define[task.Outcome, task.None]("audit.log")

	alice = task.User{Realm: "/plone/acl_users", ID: "alice"}
	bob   = task.User{Realm: "/plone/acl_users", ID: "bob"}
)

// patience is how long a test waits for what must come, on a busy machine.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

// world is a server with a client, and what plays the worker in tests.
type world struct {
	server *embedded.Server
	js     jetstream.JetStream
	client *producer.Client
	broker *stream.Broker
}

func start(t *testing.T, cfg producer.Config) *world {
	t.Helper()
	srv, err := embedded.Start(embedded.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	w := &world{server: srv, js: connect(t, srv)}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	if cfg.Queues == nil {
		cfg.Queues = []string{"docs"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if w.client, err = producer.New(ctx, w.js, cfg); err != nil {
		t.Fatal(err)
	}
	if w.broker, err = stream.Open(ctx, w.js, stream.Config{Namespace: cfg.Namespace, BindOnly: true}); err != nil {
		t.Fatal(err)
	}
	return w
}

func connect(t *testing.T, srv *embedded.Server) jetstream.JetStream {
	t.Helper()
	var nc *nats.Conn
	var err error
	for range 10 { // on a busy machine the 2 s are few that a connection may take
		if nc, err = srv.Connect(); err == nil {
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

// as is the test's context with a user.
func as(t *testing.T, u task.User) context.Context { return task.WithUser(t.Context(), u) }

func enqueue[Out any](t *testing.T, q producer.Enqueuer, call task.Call[Out]) *producer.Job[Out] {
	t.Helper()
	job, err := producer.Enqueue(as(t, alice), q, call)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// pull takes the next message of a lane as a worker does.
func (w *world) pull(t *testing.T, queue, lane string) jetstream.Msg {
	t.Helper()
	consumer, err := w.js.Consumer(t.Context(), w.broker.Jobs(), stream.Consumer(queue, lane))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatalf("pull from %s/%s: %v", queue, lane, err)
	}
	return msg
}

// end records an outcome as a worker does; change sets what a plain success has not.
func (w *world) end(t *testing.T, e *task.Envelope, change func(*task.Record)) {
	t.Helper()
	r := &task.Record{Mode: e.Mode, Outcome: task.Outcome{
		ID: e.ID, Parent: e.Parent, Task: e.Task, Queue: e.Queue, Object: e.Object, User: e.User,
		End: task.Succeeded, Attempt: 1, Queued: e.Issued, Started: time.Now(), Ended: time.Now(), Worker: "w1",
	}}
	if change != nil {
		change(r)
	}
	s, err := w.broker.Standing(t.Context(), e.Queue, e.User.Owner(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	msg := stream.Fenced(
		w.broker.Names.Outcome(e.Queue, string(r.End), e.User.Owner(), e.ID),
		w.broker.Fence(e.Queue, e.User.Owner(), e.ID), s.Seq, r.Encode(),
	)
	if _, err := w.broker.Publish(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func (w *world) claim(t *testing.T, e *task.Envelope, c task.Claim) {
	t.Helper()
	c.ID = e.ID
	msg := &nats.Msg{Subject: w.broker.Names.Outcome(e.Queue, stream.KindClaimed, e.User.Owner(), e.ID), Data: c.Encode()}
	if _, err := w.broker.Publish(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

// run pulls the next job of a lane, records its end and acks it.
func (w *world) run(t *testing.T, queue, lane string, change func(*task.Record)) *task.Envelope {
	t.Helper()
	msg := w.pull(t, queue, lane)
	e := decode(t, msg.Data())
	w.end(t, e, change)
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// schedule moves a job that came for later into the stream Later, as a worker does.
func (w *world) schedule(t *testing.T, queue string) {
	t.Helper()
	msg := w.pull(t, queue, stream.LaneSystem)
	e := decode(t, msg.Data())
	owner := e.User.Owner()
	later := &nats.Msg{Subject: w.broker.LaterJob(queue, owner, e.ID), Data: msg.Data(), Header: nats.Header{
		"Nats-Schedule":        {"@at " + e.NotBefore.UTC().Format(time.RFC3339Nano)},
		"Nats-Schedule-Target": {w.broker.DueJob(queue, owner, e.ID)},
	}}
	if _, err := w.broker.Publish(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, b []byte) *task.Envelope {
	t.Helper()
	e, err := task.DecodeEnvelope(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// jobs counts the messages of a queue.
func (w *world) jobs(t *testing.T, queue string) int {
	t.Helper()
	n, err := w.broker.Count(t.Context(), w.broker.Jobs(), w.broker.QueueFilter(queue))
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func value(v any) func(*task.Record) {
	return func(r *task.Record) {
		b, err := task.Marshal(v)
		if err != nil {
			panic(err)
		}
		r.Value = b
	}
}

func failure(code string) func(*task.Record) {
	return func(r *task.Record) {
		r.End, r.Failure = task.Failed, &task.Failure{Code: code, Message: "it went wrong", Task: r.Task, ID: r.ID, Attempt: 1}
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func wantState(t *testing.T, get func(context.Context) (task.Status, error), want task.State) task.Status {
	t.Helper()
	st, err := get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.State != want {
		t.Fatalf("state is %s, want %s", st.State, want)
	}
	return st
}
