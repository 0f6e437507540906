package integration_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

const folder task.Object = "/plone/folder"

var editor = task.User{Realm: "/plone/acl_users", ID: "editor"}

// site is a server of its own with a client and what its workers know; ctx is that of a
// request by editor. The tests of the original's semantics use it.
type site struct {
	*embeddedtest.Env
	t   testing.TB
	ctx context.Context
	reg *registry.Registry
}

func newSite(t testing.TB, queues ...string) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(task.WithUser(t.Context(), editor), 2*patience)
	t.Cleanup(cancel)
	return &site{embeddedtest.New(t, queues...), t, ctx, registry.New()}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) wantErr(err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Fatalf("error is %v, want %v", err, want)
	}
}

func (s *site) same(what string, want, got any) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (s *site) stateIs(want task.State, status func(context.Context) (task.Status, error)) task.Status {
	s.t.Helper()
	st, err := status(s.ctx)
	s.must(err)
	if st.State != want {
		s.t.Fatalf("the job is %s, want %s", st.State, want)
	}
	return st
}

// becomes waits until a job is in a state that nobody announces.
func (s *site) becomes(want task.State, status func(context.Context) (task.Status, error)) task.Status {
	s.t.Helper()
	for {
		st, err := status(s.ctx)
		s.must(err)
		if st.State == want {
			return st
		}
		s.nap("the job is %s, want %s", st.State, want)
	}
}

func (s *site) lenIs(queue string, want int) {
	s.t.Helper()
	n, err := s.Client.Queue(queue).Len(s.ctx)
	s.must(err)
	if n != want {
		s.t.Errorf("%d jobs wait in queue %s, want %d", n, queue, want)
	}
}

// nap is the pause between two looks at what nobody announces.
func (s *site) nap(format string, args ...any) {
	s.t.Helper()
	select {
	case <-time.After(5 * time.Millisecond):
	case <-s.ctx.Done():
		s.t.Fatalf(format, args...)
	}
}

func (s *site) drain() {
	s.t.Helper()
	s.must(s.Drain(s.ctx))
}

// put queues a call for editor.
func put[Out any](s *site, call task.Call[Out]) *producer.Job[Out] {
	s.t.Helper()
	return putAs(s, editor, call)
}

func putAs[Out any](s *site, u task.User, call task.Call[Out]) *producer.Job[Out] {
	s.t.Helper()
	job, err := producer.Enqueue(task.WithUser(s.ctx, u), s.Client, call)
	s.must(err)
	return job
}

// resultOf waits for a job that must succeed.
func resultOf[Out any](s *site, job *producer.Job[Out]) Out {
	s.t.Helper()
	out, err := job.Wait(s.ctx)
	s.must(err)
	return out
}

// failureOf waits for a job that must fail.
func failureOf[Out any](s *site, job *producer.Job[Out]) *task.Failure {
	s.t.Helper()
	_, err := job.Wait(s.ctx)
	failure, ok := errors.AsType[*task.Failure](err)
	if !ok {
		s.t.Fatalf("waiting gave %v, want a failure", err)
	}
	return failure
}

func outcomeOf[Out any](s *site, job *producer.Job[Out]) task.Outcome {
	s.t.Helper()
	o, err := job.Outcome(s.ctx)
	s.must(err)
	if o == nil {
		s.t.Fatalf("job %s has no outcome", job.ID())
	}
	return *o
}

// arrives takes what a handler sends.
func arrives[T any](s *site, c <-chan T) (v T) {
	s.t.Helper()
	select {
	case v = <-c:
	case <-s.ctx.Done():
		s.t.Fatal("nothing came")
	}
	return v
}

// notes is what handlers write down, in order.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.lines...)
}

// written makes a task that notes its input and returns it.
func (s *site) written(name string, n *notes) task.Definition[string, string] {
	def := task.Define[string, string](name)
	registry.Handle(s.reg, def, func(_ context.Context, _ task.Object, in string) (string, error) {
		n.add(in)
		return in, nil
	})
	return def
}

// door is a task that stays in its function until it is let through.
type door struct {
	task.Definition[string, string]
	in      chan string // the input of each run
	through chan struct{}
}

func (s *site) door(name string, opts ...task.Option) *door {
	d := &door{task.Define[string, string](name, opts...), make(chan string, 100), make(chan struct{}, 100)}
	registry.Handle(s.reg, d.Definition, func(ctx context.Context, _ task.Object, in string) (string, error) {
		d.in <- in
		select {
		case <-d.through:
			return in, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-s.t.Context().Done():
			return "", errors.New("the test is over")
		}
	})
	return d
}

func (d *door) open() { d.through <- struct{}{} }

// broken makes a task that fails with its input as the message.
func (s *site) broken(name string) task.Definition[string, string] {
	def := task.Define[string, string](name)
	registry.Handle(s.reg, def, func(_ context.Context, _ task.Object, in string) (string, error) {
		return "", errors.New(in)
	})
	return def
}

// doomed runs a worker on a line of its own: cutting the line for good is a kill, cutting
// it for a while is a paused process or a pulled cable.
func (s *site) doomed(reg *registry.Registry, cfg consumer.Config) *tether {
	s.t.Helper()
	l := &tether{srv: s.Server.Server(), mended: make(chan struct{})}
	close(l.mended)
	js, err := jetstream.New(s.Connect(nats.InProcessServer(l), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1)))
	s.must(err)
	cfg.Trust = task.TrustBroker
	if cfg.Logger == nil {
		cfg.Logger = quietly
	}
	w, err := consumer.New(s.t.Context(), js, reg, cfg)
	s.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	l.kill = sync.OnceFunc(func() {
		js.Conn().Close()
		l.mend()
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, nats.ErrConnectionClosed) { // it may see that before it is told to stop
			s.t.Errorf("the worker that died: %v", err)
		}
	})
	s.t.Cleanup(l.kill)
	arrives(s, w.Ready())
	return l
}

// tether is what connects a worker with the server.
type tether struct {
	srv  *server.Server
	kill func()

	mu     sync.Mutex
	mended chan struct{} // closed while the line is whole
}

// InProcessConn makes tether a server to connect to.
func (l *tether) InProcessConn() (net.Conn, error) {
	<-l.whole()
	c, err := l.srv.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &cable{Conn: c, tether: l, closed: make(chan struct{})}, nil
}

func (l *tether) whole() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mended
}

// cut holds back all that either side says.
func (l *tether) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = make(chan struct{})
}

func (l *tether) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.mended:
	default:
		close(l.mended)
	}
}

// cable buffers what is written while it is cut, as a kernel does.
type cable struct {
	net.Conn
	tether *tether
	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex
	held []byte
}

func (c *cable) wait() {
	select {
	case <-c.tether.whole():
	case <-c.closed:
	}
}

func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wait()
	return n, err
}

func (c *cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.tether.whole():
		if len(c.held) == 0 {
			return c.Conn.Write(b)
		}
	default:
	}
	if len(c.held) == 0 {
		go c.release()
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

func (c *cable) release() {
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Conn.Write(c.held)
	c.held = nil
}

func (c *cable) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

var quietly = slog.New(slog.DiscardHandler)

func (s *site) broker() *stream.Broker {
	s.t.Helper()
	b, err := stream.Open(s.ctx, s.JS, stream.Config{BindOnly: true})
	s.must(err)
	return b
}

// claims returns the claims of a job of editor's in the queue default, oldest first.
func (s *site) claims(id string) (all []*task.Claim) {
	s.t.Helper()
	b := s.broker()
	for m, err := range b.Range(s.ctx, b.Outcomes(), b.Outcome(task.DefaultQueue, stream.KindClaimed, editor.Owner(), id), 0) {
		s.must(err)
		c, err := task.DecodeClaim(m.Data)
		s.must(err)
		all = append(all, c)
	}
	return all
}

// interrupted writes the claim of a worker that died when it ran the job for the nth time.
func (s *site) interrupted(id string, n int) {
	s.t.Helper()
	b := s.broker()
	c := task.Claim{ID: id, Worker: "one that died", State: task.ClaimRunning, Interruptions: n - 1, Started: time.Now(), Due: time.Now()}
	_, err := b.Publish(s.ctx, &nats.Msg{Subject: b.Outcome(task.DefaultQueue, stream.KindClaimed, editor.Owner(), id), Data: c.Encode()})
	s.must(err)
}

func (s *site) stateOf(job interface {
	Status(context.Context) (task.Status, error)
},
) task.Status {
	s.t.Helper()
	st, err := job.Status(s.ctx)
	s.must(err)
	return st
}

// hear subscribes until the test ends.
func (s *site) hear(h hooks.Handlers, cfg hooks.Config) *hooks.Subscription {
	s.t.Helper()
	cfg.Logger = quietly
	sub, err := hooks.Subscribe(s.ctx, s.JS, h, cfg)
	s.must(err)
	s.t.Cleanup(sub.Stop)
	return sub
}

// quota is a quota of the queue default.
func (s *site) quota(name string) producer.Quota {
	s.t.Helper()
	all, err := s.Client.Queue(task.DefaultQueue).Quotas(s.ctx)
	s.must(err)
	for _, q := range all {
		if q.Name == name {
			return q
		}
	}
	s.t.Fatalf("there is no quota %s", name)
	return producer.Quota{}
}
