package trust_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	lease    = 30 * time.Second // so long that whoever waits for it is found out
	atOnce   = lease / 3        // for what nothing may hold up, on a busy machine
	patience = time.Minute      // for what must happen there
)

var (
	realm   = "/site/users"
	alice   = task.User{Realm: realm, ID: "alice"}
	bob     = task.User{Realm: realm, ID: "bob"}
	visitor = task.User{Realm: "/other", ID: "visitor"}
	quiet   = slog.New(slog.DiscardHandler)
)

// connect tries again, for on a busy machine the 2 s are few that a connection may take.
func connect(url string, opts ...nats.Option) (nc *nats.Conn, err error) {
	for range 10 {
		if nc, err = nats.Connect(url, append(opts, nats.MaxReconnects(-1))...); err == nil {
			break
		}
	}
	return nc, err
}

// soon ends after the test's patience.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// site is a server on which a worker trusts keys.
type site struct {
	t      *testing.T
	server *embedded.Server
	js     jetstream.JetStream
	broker *stream.Broker
	web    *task.Signer // speaks for the realm
	docs   *task.Signer // works default and docs, and may queue into mail
	keys   []task.Key
	trust  task.Trust

	mu   sync.Mutex
	ran  []string // "task user"
	gate chan struct{}
}

func newSite(t *testing.T) *site { return newSiteOf(t, lease) }

// newSiteOf is a site with a lease of its own.
func newSiteOf(t *testing.T, lease time.Duration) *site {
	t.Helper()
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	s := &site{t: t, server: srv, web: newSigner(t), docs: newSigner(t), gate: make(chan struct{})}
	s.js = s.dial()
	s.keys = []task.Key{
		{Public: s.web.Public(), Name: "web", Realms: []string{realm}},
		{Public: s.docs.Public(), Name: "docs", Works: []string{"default", "docs"}, Into: []string{"mail"}},
	}
	s.trust = task.TrustKeys(s.keys...)
	if s.broker, err = stream.Open(soon(t), s.js, stream.Config{Queues: []string{"default", "docs", "mail"}, Lease: lease}); err != nil {
		t.Fatal(err)
	}
	return s
}

func newSigner(t testing.TB) *task.Signer {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := task.NewSigner(seed)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (s *site) dial() jetstream.JetStream {
	s.t.Helper()
	nc, err := connect(s.server.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// producer is an application that signs with a key, or does not.
func (s *site) producer(signer *task.Signer) *producer.Client {
	s.t.Helper()
	c, err := producer.New(soon(s.t), s.dial(), producer.Config{Signer: signer, Trust: s.trust, BindOnly: true, Logger: quiet})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

var (
	say    = task.Define[string, string]("doc.say")
	fail   = task.Define[string, string]("doc.fail")
	spawn  = task.Define[string, string]("doc.spawn") // queues doc.say into a queue
	goOn   = task.Define[string, string]("doc.go-on") // continues as doc.say
	hear   = task.Define[string, task.None]("doc.hear")
	retry  = task.Define[string, int]("doc.retry")
	linger = task.Define[string, string]("doc.linger")
)

func (s *site) registry() *registry.Registry {
	reg := registry.New()
	note := func(ctx context.Context, name string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ran = append(s.ran, name+" "+task.UserFrom(ctx).ID)
	}
	registry.Handle(reg, say, func(ctx context.Context, _ task.Object, in string) (string, error) {
		note(ctx, "say "+in)
		return in, nil
	})
	registry.Handle(reg, fail, func(ctx context.Context, _ task.Object, in string) (string, error) {
		note(ctx, "fail "+in)
		return "", task.Fail("refused", in)
	})
	registry.Handle(reg, spawn, func(ctx context.Context, _ task.Object, in string) (string, error) {
		note(ctx, "spawn "+in)
		job, err := producer.Enqueue(ctx, producer.Within(ctx), say.On("", "from "+in, task.InQueue(in)))
		if err != nil {
			return "", err
		}
		return job.ID(), nil
	})
	registry.Handle(reg, goOn, func(ctx context.Context, _ task.Object, in string) (string, error) {
		note(ctx, "go-on "+in)
		return task.Continue(say.On("", "after "+in))
	})
	registry.Handle(reg, hear, func(ctx context.Context, _ task.Object, in string) (task.None, error) {
		note(ctx, "hear "+in)
		return task.None{}, nil
	})
	registry.Handle(reg, retry, func(ctx context.Context, _ task.Object, in string) (int, error) {
		note(ctx, "retry "+in)
		task.Progress(ctx, 0.5, "half")
		job, _ := task.JobFrom(ctx)
		if job.Attempt < 3 {
			return 0, fmt.Errorf("attempt %d", job.Attempt)
		}
		return job.Attempt, nil
	})
	registry.Handle(reg, linger, func(ctx context.Context, _ task.Object, in string) (string, error) {
		note(ctx, "linger "+in)
		select {
		case <-s.gate:
			return in, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	return reg
}

// work runs a worker until the test ends.
func (s *site) work(change ...func(*consumer.Config)) *consumer.Worker {
	s.t.Helper()
	return s.workWith(s.registry(), change...)
}

func (s *site) workWith(reg *registry.Registry, change ...func(*consumer.Config)) *consumer.Worker {
	s.t.Helper()
	cfg := consumer.Config{Queues: []string{"default", "docs"}, Trust: s.trust, Signer: s.docs, Logger: quiet, ShutdownTimeout: time.Second}
	for _, f := range change {
		f(&cfg)
	}
	w, err := consumer.New(soon(s.t), s.dial(), reg, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the worker: %v", err)
		}
	})
	select {
	case <-w.Ready():
	case <-time.After(patience):
		s.t.Fatal("the worker takes no jobs")
	}
	return w
}

func (s *site) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.ran {
		if r == name {
			n++
		}
	}
	return n
}

// history is all that ran.
func (s *site) history() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ran)
}

// aside is what was put aside, by the subject that it came on.
func (s *site) aside() map[string]*stream.Message {
	s.t.Helper()
	all := map[string]*stream.Message{}
	for m, err := range s.broker.Range(s.t.Context(), s.broker.Rejected(), "", 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		all[m.Header.Get(stream.HeaderSubject)] = m
	}
	return all
}

// refused waits until the message on a subject is put aside, and returns its code.
func (s *site) refused(subject string) string {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if m := s.aside()[subject]; m != nil {
			return m.Header.Get(stream.HeaderCode)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the message on %s is not put aside", subject)
		}
	}
}

func as(ctx context.Context, u task.User) context.Context { return task.WithUser(ctx, u) }

func queue[Out any](s *site, c *producer.Client, u task.User, call task.Call[Out]) *producer.Job[Out] {
	s.t.Helper()
	job, err := producer.Enqueue(as(soon(s.t), u), c, call)
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func result[Out any](s *site, job *producer.Job[Out]) (Out, error) {
	s.t.Helper()
	return job.Wait(soon(s.t))
}

func succeeds[Out any](s *site, job *producer.Job[Out]) Out {
	s.t.Helper()
	out, err := result(s, job)
	if err != nil {
		s.t.Fatalf("job %s: %v", job.ID(), err)
	}
	return out
}
