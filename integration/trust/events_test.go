package trust_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// ear is what a login has heard of events.
type ear struct {
	mu    sync.Mutex
	heard []string // "kind id"
}

func (e *ear) add(x task.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, x.Kind+" "+x.ID)
}

func (e *ear) count(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, h := range e.heard {
		if h == what {
			n++
		}
	}
	return n
}

// listen has a login hear the events of an owner, "*" for all.
func (f *fort) listen(name, owner string) *ear {
	f.t.Helper()
	nc, e := f.connect(name), &ear{}
	_, err := nc.Subscribe(f.broker.Event("*", "*", owner, "*"), func(m *nats.Msg) {
		x, err := f.broker.ReadEvent(m)
		if err != nil {
			f.t.Errorf("%s: the event on %s: %v", name, m.Subject, err)
			return
		}
		e.add(*x)
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		f.t.Fatalf("%s listens: %v", name, err)
	}
	return e
}

// await waits until an ear has heard something.
func (f *fort) await(name string, e *ear, what string) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); e.count(what) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Errorf("%s does not hear %q, only %q", name, what, e.heard)
			return
		}
	}
}

// Whoever may hear of jobs hears over the border how they fare, once, and of nobody else's if bound to a user. Of a queue
// that a worker does not work it can tell nothing: an ear would fail the test.
func TestEventsAreHeardOverTheBorder(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			live := &ear{}
			hear := func(_ context.Context, e task.Event) { live.add(e) }
			sub, err := hooks.Subscribe(t.Context(), f.login("mailer"), hooks.Handlers{Started: hear, Retrying: hear, Progress: hear}, hooks.Config{BindOnly: true, Trust: f.trust, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(sub.Stop)
			ears := map[string]*ear{"mailer": live, "alice": f.listen("alice", alice.Owner()), "bob": f.listen("bob", bob.Owner())}
			for _, name := range []string{"eye", "ops", "waiter", "admin"} {
				ears[name] = f.listen(name, "*")
			}
			web := f.client("web")
			hers := queue(f.site, web, alice, retry.On("", "hers", task.Retry(task.Policy{Attempts: 3})))
			succeeds(f.site, producer.Find[int](f.client("waiter"), hers.ID()))
			worker, forged := f.connect("docs"), f.broker.Event("mail", task.EventStarted, alice.Owner(), "forged")
			asks(t, worker, forged, "", nil, nil)
			asks(t, worker, "NATSASYNC.API.STREAM.INFO."+f.broker.Jobs(), forged, nil, nil)
			his := queue(f.site, web, bob, retry.On("", "his", task.Retry(task.Policy{Attempts: 3})))
			succeeds(f.site, producer.Find[int](f.client("waiter"), his.ID()))
			for name, e := range ears {
				for owner, id := range map[string]string{"alice": hers.ID(), "bob": his.ID()} {
					if other := map[string]string{"alice": "bob", "bob": "alice"}[owner]; name == other {
						continue
					}
					for _, kind := range []string{task.EventStarted, task.EventProgress, task.EventRetrying} {
						f.await(name, e, kind+" "+id)
					}
				}
			}
			for name, id := range map[string]string{"alice": his.ID(), "bob": hers.ID()} {
				for _, kind := range []string{task.EventStarted, task.EventProgress, task.EventRetrying} {
					if ears[name].count(kind+" "+id) > 0 {
						t.Errorf("%s hears %s of a job of somebody else", name, kind)
					}
				}
			}
			for name, e := range ears {
				if n := e.count(task.EventRetrying + " " + hers.ID()); n > 2 {
					t.Errorf("%s hears of two retries %d times", name, n)
				}
			}
		})
	}
}

// A worker hears at once that lanes have changed, whoever changed them.
func TestLanesAreAnnouncedOverTheBorder(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			nc := f.connect("docs")
			told, err := nc.SubscribeSync(f.broker.LanesEvent("docs"))
			if err == nil {
				err = nc.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			ops := f.client("ops").Queue("docs")
			for what, change := range map[string]func() error{
				"an operator pauses":            func() error { return ops.Pause(t.Context(), time.Now().Add(time.Hour)) },
				"an operator resumes":           func() error { return ops.Resume(t.Context()) },
				"an administrator sets a quota": func() error { return f.client("admin").Queue("docs").SetQuota(t.Context(), "default", 2) },
			} {
				if err := change(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if _, err := told.NextMsg(patience); err != nil {
					t.Errorf("%s, and the worker does not hear of it: %v", what, err)
				}
			}
		})
	}
}

// Accounts may not import from each other. Of two logins that work one queue and listen there, neither hears the other's
// events nor may ask it who it is, and the server takes the setup; whoever only listens hears both.
func TestLoginsThatWorkAQueueAndListenMakeNoCircle(t *testing.T) {
	t.Parallel()
	names, err := stream.NewNames("")
	if err != nil {
		t.Fatal(err)
	}
	var logins []access.Login
	for name, queues := range map[string][]string{"one": {"default", "docs"}, "two": {"default"}, "three": {"docs"}, "eye": nil, "admin": nil} {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		scope := access.Scope{Names: names, Queues: queues, Inbox: "_INBOX_" + name}
		l := access.Login{Name: name, Public: public, Inside: inside(name)}
		switch name {
		case "admin":
			l.Rights = access.Of(access.Admin, scope)
		case "eye":
			l.Rights = access.Of(access.Watcher, scope)
		default:
			l.Rights = access.Of(access.Worker, scope)
			l.Rights.Add(access.Of(access.Operator, scope))
		}
		logins = append(logins, l)
	}
	setup := access.NewSetup(logins...)
	options := &server.Options{}
	if err := options.ProcessConfigString(setup.Config()); err != nil {
		t.Fatal(err)
	}
	options.NoSigs = true
	if _, err := server.NewServer(options); err != nil {
		t.Errorf("the server refuses it: %v", err)
	}
	apart := setup.Apart()
	for _, want := range []access.Apart{
		{Login: "one", From: "two", Subject: names.Event("default", "*", "*", ">")},
		{Login: "two", From: "one", Subject: names.Event("default", "*", "*", ">")},
		{Login: "one", From: "three", Subject: names.Event("docs", "*", "*", ">")},
	} {
		if !slices.Contains(apart, want) {
			t.Errorf("nobody says that %v; what is said: %v", want, apart)
		}
	}
	if i := slices.IndexFunc(apart, func(a access.Apart) bool { return a.Login == "eye" || a.Login == "admin" || a.From == "eye" }); i >= 0 {
		t.Errorf("who only listens does not hear all: %v", apart[i])
	}
}
