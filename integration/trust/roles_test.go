package trust_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// fort is a site whose server has an account for the streams and one for each login.
type fort struct {
	*site
	seeds   map[string][]byte
	creds   map[string][]byte // in the form of JWTs
	sees    *producer.Client
	mu      sync.Mutex
	denials []string // "login: what"
}

// inside says whether a login is in the account of the streams.
func inside(name string) bool { return name == "admin" }

// cast are the logins of a fort.
func cast(names stream.Names) map[string]access.Rights {
	rights := map[string]access.Rights{}
	add := func(name string, role access.Role, s access.Scope) {
		s.Names, s.Inbox = names, "_INBOX_"+name
		r := rights[name]
		r.Add(access.Of(role, s))
		rights[name] = r
	}
	add("admin", access.Admin, access.Scope{})
	add("docs", access.Worker, access.Scope{Queues: []string{"default", "docs"}, Into: []string{"mail"}})
	add("web", access.Producer, access.Scope{})
	add("eye", access.Watcher, access.Scope{})
	add("mailer", access.Handler, access.Scope{Durable: "mailer"})
	add("ops", access.Operator, access.Scope{})
	add("waiter", access.Waiter, access.Scope{})
	add("gate", access.Gateway, access.Scope{})
	add("carol", access.Caller, access.Scope{Owner: alice.Owner()})
	add("dave", access.Caller, access.Scope{Owner: bob.Owner()})
	for name, u := range map[string]task.User{"alice": alice, "bob": bob} {
		for _, role := range []access.Role{access.Producer, access.Waiter, access.Canceller} {
			add(name, role, access.Scope{Owner: u.Owner()})
		}
	}
	return rights
}

func newFort(t *testing.T, tokens bool) *fort {
	t.Helper()
	names, err := stream.NewNames("")
	if err != nil {
		t.Fatal(err)
	}
	f := &fort{site: &site{t: t, gate: make(chan struct{})}, seeds: map[string][]byte{}}
	var logins []access.Login
	for name, rights := range cast(names) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		if f.seeds[name], err = pair.Seed(); err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		logins = append(logins, access.Login{Name: name, Public: public, Rights: rights, Inside: inside(name)})
	}
	setup := access.NewSetup(logins...)
	text := setup.Config()
	if tokens {
		made, err := setup.Tokens(f.seeds, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		text, f.creds = made.Config, made.Creds
	}
	path := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet, Options: func(o *server.Options) { *o = *shown.Clone() }})
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
	f.server = srv
	f.js = f.login("admin")
	ready := soon(t)
	for err := nats.ErrNoResponders; errors.Is(err, nats.ErrNoResponders); { // an account of a JWT has its streams a moment later
		_, err = f.js.Conn().RequestWithContext(ready, "$JS.API.STREAM.INFO.NATSASYNC_JOBS", nil)
	}
	f.web, f.docs = f.signer("web"), f.signer("docs")
	f.keys = []task.Key{
		{Public: f.web.Public(), Name: "web", Realms: []string{realm}},
		{Public: f.docs.Public(), Name: "docs", Works: []string{"default", "docs"}, Into: []string{"mail"}},
		{Public: f.signer("gate").Public(), Name: "gate", Realms: []string{realm}},
		{Public: f.signer("ops").Public(), Name: "ops", Anyone: true},
		{Public: f.signer("alice").Public(), Name: "alice", Users: []task.User{alice}},
		{Public: f.signer("bob").Public(), Name: "bob", Users: []task.User{bob}},
	}
	f.trust = task.TrustKeys(f.keys...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for { // an account that has just been proved has no JetStream for a moment
		if f.broker, err = stream.Open(ctx, f.js, stream.Config{Queues: []string{"default", "docs", "mail"}, Lease: lease}); err == nil {
			return f
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func (f *fort) signer(name string) *task.Signer {
	f.t.Helper()
	s, err := task.NewSigner(f.seeds[name])
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// connect logs in with the inbox of a login.
func (f *fort) connect(name string, opts ...nats.Option) *nats.Conn {
	f.t.Helper()
	as := nats.Nkey(f.signer(name).Public(), func(nonce []byte) ([]byte, error) {
		pair, err := nkeys.FromSeed(f.seeds[name])
		if err != nil {
			return nil, err
		}
		return pair.Sign(nonce)
	})
	if f.creds != nil {
		as = nats.UserCredentialBytes(f.creds[name])
	}
	opts = append([]nats.Option{
		as, nats.CustomInboxPrefix("_INBOX_" + name),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.denials = append(f.denials, name+": "+err.Error())
		}),
	}, opts...)
	nc, err := connect(f.server.URL(), opts...)
	if err != nil {
		f.t.Fatalf("login %s: %v", name, err)
	}
	f.t.Cleanup(nc.Close)
	return nc
}

func (f *fort) login(name string) jetstream.JetStream {
	f.t.Helper()
	nc := f.connect(name)
	js, err := jetstream.New(nc)
	if !inside(name) {
		js, err = jetstream.NewWithAPIPrefix(nc, strings.TrimSuffix(access.OutsideAPI, "."))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return js
}

// client is an application with a login and its key. One of a single user sees no more than that user.
func (f *fort) client(name string) *producer.Client {
	f.t.Helper()
	cfg := producer.Config{BindOnly: true, Logger: quiet, Trust: f.trust, Signer: f.signer(name)}
	switch name {
	case "alice", "bob":
		cfg.Owner = map[string]task.User{"alice": alice, "bob": bob}[name]
	case "waiter", "eye":
		cfg.Signer = nil
	}
	c, err := producer.New(soon(f.t), f.login(name), cfg)
	if err != nil {
		f.t.Fatalf("client of %s: %v", name, err)
	}
	return c
}

func (f *fort) employ(change ...func(*consumer.Config)) { f.employWith(f.registry(), change...) }

func (f *fort) employWith(reg *registry.Registry, change ...func(*consumer.Config)) {
	f.t.Helper()
	cfg := consumer.Config{Queues: []string{"default", "docs"}, Trust: f.trust, Signer: f.docs, BindOnly: true, Logger: quiet, ShutdownTimeout: time.Second}
	for _, c := range change {
		c(&cfg)
	}
	w, err := consumer.New(soon(f.t), f.login("docs"), reg, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("the worker: %v", err)
		}
	})
	select {
	case <-w.Ready():
	case <-time.After(patience):
		f.t.Fatal("the worker takes no jobs")
	}
}

// Each login that natsasync auth makes can do the work of its role, in both forms.
func TestEveryLoginCanDoItsWork(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			web := f.client("web")
			handled := make(chan string, 10)
			success := hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error { handled <- o.ID; return nil }}
			for range 2 {
				if err := hooks.Declare(t.Context(), f.js, hooks.Config{Durable: "mailer", Logger: quiet}); err != nil {
					t.Fatal(err)
				}
			}
			if err := hooks.Declare(t.Context(), f.js, hooks.Config{Durable: "mailer", Queue: "docs", Logger: quiet}); err == nil {
				t.Error("a durable name is two")
			}
			sub, err := hooks.Subscribe(t.Context(), f.login("mailer"), success, hooks.Config{Durable: "mailer", BindOnly: true, Trust: f.trust, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sub.Stop)

			job := queue(f.site, web, alice, say.On("", "web").OnSuccess(hear))
			queue(f.site, web, alice, say.On("", "later", task.Delay(100*time.Millisecond)))
			if out := succeeds(f.site, producer.Find[string](f.client("waiter"), job.ID())); out != "web" {
				t.Errorf("the waiter sees %q", out)
			}
			select {
			case id := <-handled:
				if id != job.ID() {
					t.Errorf("the handler heard of %s, want %s", id, job.ID())
				}
			case <-time.After(patience):
				t.Fatal("the handler heard of nothing")
			}

			own := f.client("alice")
			mine := queue(f.site, own, alice, say.On("", "mine"))
			if out := succeeds(f.site, mine); out != "mine" {
				t.Errorf("alice sees %q", out)
			}
			if out := succeeds(f.site, producer.Find[string](own, mine.ID())); out != "mine" {
				t.Errorf("alice finds %q", out)
			}
			tx := own.Begin()
			for range 2 {
				if _, err := producer.Enqueue(as(t.Context(), alice), tx, say.On("", "in a Tx")); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			stuck := queue(f.site, own, alice, linger.On("", "mine", task.WithoutQuota()))
			for f.count("linger mine alice") == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if err := stuck.Cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := result(f.site, stuck); !errors.Is(err, task.ErrCancelled) {
				t.Errorf("alice cancels: %v", err)
			}

			ops := f.client("ops")
			if err := ops.Queue("mail").Pause(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Errorf("pause: %v", err)
			}
			waits := queue(f.site, web, bob, say.On("", "waits", task.InQueue("mail")))
			if err := ops.Cancel(t.Context(), waits.ID()); err != nil {
				t.Errorf("cancel: %v", err)
			}
			if _, err := ops.Queue("mail").Purge(t.Context()); err != nil {
				t.Errorf("purge: %v", err)
			}
			if err := ops.Queue("mail").Resume(t.Context()); err != nil {
				t.Errorf("resume: %v", err)
			}
			eye := f.client("eye")
			for _, err := range eye.Outcomes(t.Context(), producer.OutcomeFilter{}) {
				if err != nil {
					t.Errorf("list outcomes: %v", err)
				}
			}
			if workers, err := eye.Workers(t.Context()); err != nil || len(workers) != 1 {
				t.Errorf("workers: %v, %v", workers, err)
			}
			if n, err := eye.Queue("mail").Len(t.Context()); err != nil || n != 0 {
				t.Errorf("length: %d, %v", n, err)
			}
			// What the page of operating does with the nats tool.
			if m, err := f.js.Conn().Request("$SRV.INFO", nil, patience); err != nil || !strings.Contains(string(m.Data), consumer.ServiceName) {
				t.Errorf("the administrator lists services: %v", err)
			}
			for _, name := range []string{"admin", "ops", "eye"} {
				nc := f.connect(name)
				sub, err := nc.SubscribeSync("natsasync.record.*.*.*.>")
				if err == nil {
					err = nc.Flush()
				}
				if err != nil {
					t.Fatal(err)
				}
				succeeds(f.site, f.seen(queue(f.site, web, alice, say.On("", "heard"))))
				if _, err := sub.NextMsg(patience); err != nil {
					t.Errorf("%s hears no outcome: %v", name, err)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, d := range f.denials {
				if !expected(d) {
					t.Errorf("denied: %s", d)
				}
			}
			for subject, m := range f.aside() {
				t.Errorf("%s was put aside: %v", subject, m.Header)
			}
		})
	}
}

// expected says whether a login was denied what its library tries before it does without.
func expected(denial string) bool {
	login, what, _ := strings.Cut(denial, ": ")
	switch login {
	case "web", "mailer", "waiter": // look at the streams beside that of the jobs when they begin
		return strings.Contains(what, "API.STREAM.INFO.")
	case "alice", "bob": // ask the leader, then any replica
		return strings.Contains(what, "API.STREAM.MSG.GET.") || strings.Contains(what, "API.CONSUMER.INFO.") || strings.Contains(what, "API.STREAM.INFO.") || strings.Contains(what, "API.STREAM.MSG.DELETE.")
	}
	return false
}
