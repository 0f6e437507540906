package trust_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/internal/gateway"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// openGateway runs a gateway. The login carol may ask for alice, and dave for bob.
func (f *fort) openGateway(change ...func(*producer.Config)) {
	f.t.Helper()
	f.t.Cleanup(f.startGateway(change...))
}

// startGateway returns what stops it again.
func (f *fort) startGateway(change ...func(*producer.Config)) (stop func()) {
	f.t.Helper()
	nc := f.connect("gate")
	js := f.login("gate")
	cfg := producer.Config{BindOnly: true, Signer: f.signer("gate"), Logger: quiet}
	for _, do := range change {
		do(&cfg)
	}
	c, err := producer.New(soon(f.t), js, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	g, err := gateway.Start(nc, c, f.broker.Names, quiet)
	if err != nil {
		f.t.Fatal(err)
	}
	return func() {
		if err := g.Stop(); err != nil {
			f.t.Errorf("stop the gateway: %v", err)
		}
		nc.Close()
	}
}

func (f *fort) caller(name string) *producer.Client {
	f.t.Helper()
	c, err := producer.New(soon(f.t), f.login(name), producer.Config{BindOnly: true, Gateway: true, Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Who asks for somebody else hears at once that nothing was queued: the server refuses it, and nobody answers.
func TestAGatewayAskedForAnotherUserIsARefusalAtOnce(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.openGateway()
	carol := f.caller("carol")
	for who, u := range map[string]task.User{"bob": bob, "the anonymous user": {}} {
		ctx, cancel := context.WithTimeout(as(t.Context(), u), time.Minute)
		job, err := producer.Enqueue(ctx, carol, say.On("", "in another's name"))
		if !errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, producer.ErrUnknown) || job != nil || ctx.Err() != nil {
			t.Errorf("for %s: job %v, error %v", who, job, err)
		}
		if err != nil && !strings.Contains(err.Error(), who) {
			t.Errorf("for %s: the error names another: %v", who, err)
		}
		cancel()
	}
}

// Who may publish no job has the gateway queue it, for the user on whose subject they may ask.
func TestAGatewayQueuesForWhoeverAsks(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			f.openGateway()
			carol := f.caller("carol")
			job := queue(f.site, carol, alice, say.On("/a/b", "through the gate").OnSuccess(hear))
			succeeds(f.site, f.seen(job))
			if f.count("say through the gate alice") != 1 || f.count("hear through the gate alice") != 1 {
				t.Errorf("it did not run as alice, or its callback did not: %v", f.history())
			}
			again, err := producer.Enqueue(as(t.Context(), alice), carol, say.On("", "x", task.WithID(job.ID())))
			if err != nil || again.ID() != job.ID() {
				t.Errorf("queued again: %v", err)
			}
			results, err := producer.Enqueue(as(t.Context(), alice), carol, batch.Serial(say.On("", "one"), batch.Parallel(say.On("", "two"))))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := result(f.site, producer.Find[batch.Results](f.client("waiter"), results.ID())); err != nil {
				t.Errorf("a batch: %v", err)
			}
			if _, err := producer.Enqueue(as(t.Context(), alice), carol, say.On("", "nowhere", task.InQueue("nowhere"))); !errors.Is(err, producer.ErrNoSuchQueue) {
				t.Errorf("a queue that is not there: %v", err)
			}
			if _, err := producer.Enqueue(as(t.Context(), alice), carol.Begin(), say.On("", "tx")); err == nil || !strings.Contains(err.Error(), "one by one") {
				t.Errorf("a Tx: %v", err)
			}
			for user, name := range map[task.User]string{bob: "carol", alice: "dave", {}: "carol"} {
				ctx, cancel := context.WithTimeout(as(t.Context(), user), 300*time.Millisecond)
				if _, err := producer.Enqueue(ctx, f.caller(name), say.On("", "as somebody else")); err == nil {
					t.Errorf("%s queues for %q", name, user)
				}
				cancel()
			}
			if n := f.count("say as somebody else"); n != 0 {
				t.Errorf("%d jobs ran as somebody else", n)
			}
		})
	}
}

// A handler has a login of its own, too: what it has queued is the job that it asked for.
func TestAHandlerQueuesThroughAGateway(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.openGateway()
	carol := f.caller("carol")
	order := task.Define[string, string]("doc.order")
	reg := f.registry()
	registry.Handle(reg, order, func(ctx context.Context, _ task.Object, in string) (string, error) {
		job, err := producer.Enqueue(ctx, carol, say.On("/a/b", in, task.InQueue("docs"), task.WithoutQuota(), task.WithID("of-a-handler")))
		if err != nil {
			return "", err
		}
		return job.Queue() + " " + job.ID(), nil
	})
	f.employWith(reg)
	if said := succeeds(f.site, f.seen(queue(f.site, f.client("web"), alice, order.On("", "ordered")))); said != "docs of-a-handler" {
		t.Errorf("the handler was told %q", said)
	}
	job := producer.Find[string](f.client("waiter"), "of-a-handler")
	succeeds(f.site, job)
	st, err := job.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Queue != "docs" || st.Object != "/a/b" || st.User != alice || st.Parent != "" {
		t.Errorf("it was queued as %+v", st)
	}
	if n := f.count("say ordered alice"); n != 1 {
		t.Errorf("it ran %d times: %v", n, f.history())
	}
}

// A gateway is rolled over while others call: each call finds the old one or the new one.
func TestAGatewayIsReplacedWhileItIsAsked(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	stop := f.startGateway()
	var callers sync.WaitGroup
	done := make(chan struct{})
	var queued atomic.Int64
	for range 8 {
		carol := f.caller("carol")
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(as(t.Context(), alice), patience)
				_, err := producer.Enqueue(ctx, carol, say.On("", "through whichever"))
				cancel()
				if err != nil {
					t.Errorf("after %d jobs: %v", queued.Load(), err)
					return
				}
				queued.Add(1)
			}
		})
	}
	for range 30 {
		next := f.startGateway()
		stop()
		stop = next
	}
	close(done)
	callers.Wait()
	stop()
	if queued.Load() == 0 {
		t.Error("nothing was queued meanwhile")
	}
}

// Whoever asks a gateway that stops, and then closes its connection, gets an answer or hears that nobody is there.
func TestAGatewayThatStopsLeavesNoCallUnanswered(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	subject := f.broker.Gateway(alice.Owner())
	var lines [32]*nats.Conn
	for i := range lines {
		lines[i] = f.connect("carol")
	}
	for round := range 20 {
		stop := f.startGateway()
		busy := make(chan struct{}, len(lines))
		var callers sync.WaitGroup
		for _, line := range lines {
			callers.Go(func() {
				for n := 0; ; n++ {
					_, err := line.Request(subject, []byte("no call"), patience)
					if errors.Is(err, nats.ErrNoResponders) {
						return
					}
					if err != nil {
						t.Errorf("round %d, after %d answers: %v", round, n, err)
						return
					}
					if n == 10 {
						busy <- struct{}{}
					}
				}
			})
		}
		for range lines {
			select {
			case <-busy:
			case <-time.After(patience):
				t.Error("the gateway does not answer")
			}
		}
		stop()
		callers.Wait()
		if t.Failed() {
			return
		}
	}
}

// Nothing that a caller says of itself counts, and an answer that it has the server send to the gateway is no call.
func TestAGatewayBelievesTheSubjectAlone(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	f.openGateway()
	forged, _ := f.sealed(alice, "forged")
	forged.Installation = ""
	own, _ := f.sealed(bob, "own")
	own.Installation = ""
	ask := func(name string, owner task.User, header nats.Header, body []byte) string {
		t.Helper()
		m, err := f.connect(name).RequestMsg(&nats.Msg{Subject: f.broker.Gateway(owner.Owner()), Header: header, Data: body}, patience)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m.Header.Get("Nats-Service-Error-Code")
	}
	if code := ask("dave", bob, nil, forged.Encode()); code != "unauthorized" {
		t.Errorf("dave names alice in the call: %q", code)
	}
	for _, header := range []nats.Header{
		{"Async-User": {alice.String()}}, {"Nats-Stream": {"x"}},
	} {
		if code := ask("dave", bob, header, own.Encode()); code != "header" {
			t.Errorf("with %v: %q", header, code)
		}
	}
	for want, body := range map[string][]byte{
		"empty": nil, "truncated": {0xdd, 0xff, 0xff, 0xff, 0xff}, "type": {0x90}, "format": []byte(`{"t":"doc.say"}`), "too_large": make([]byte, task.MaxEnvelope+1),
	} {
		if code := ask("carol", alice, nil, body); code != want {
			t.Errorf("%s: %q", want, code)
		}
	}
	within, _ := f.sealed(alice, "within")
	within.Installation, within.ID, within.Parent = "", "within.1", "within"
	if code := ask("carol", alice, nil, within.Encode()); code != "members" {
		t.Errorf("the ID of a call inside a job: %q", code)
	}
	nc := f.connect("dave")
	before := f.lengths()
	asks(t, nc, f.broker.Gateway(alice.Owner()), "", nil, forged.Encode())
	asks(t, nc, f.broker.Gateway("*"), "", nil, forged.Encode())
	asks(t, nc, f.broker.Job("default", "default", alice.Owner(), "direct"), "", nil, forged.Encode())
	asks(t, nc, f.broker.Gateway(bob.Owner()), f.broker.Job("default", "default", alice.Owner(), "reply"), nil, nil)
	// alice may store bytes of her choice and have the server send them somewhere: not to the gateway for bob.
	evil := f.broker.Job("docs", "free", alice.Owner(), "evil")
	asks(t, f.connect("alice"), evil, "", nil, own.Encode())
	asks(t, f.connect("alice"), "NATSASYNC.API.DIRECT.GET."+f.broker.Jobs()+"."+evil, f.broker.Gateway(bob.Owner()), nil, nil)
	f.refused(evil)
	succeeds(f.site, f.seen(queue(f.site, f.caller("carol"), alice, say.On("", "honest"))))
	for stream, was := range before {
		if is := f.lengths()[stream]; stream == f.broker.Rejected() && is != was+1 || stream == f.broker.Jobs() && is != was+2 {
			t.Errorf("%d messages were stored in %s", is-was, stream)
		}
	}
	if n := f.count("say forged alice") + f.count("say own bob") + f.count("say within alice"); n != 0 {
		t.Errorf("%d forged calls ran", n)
	}
}

// Who asks for more than a gateway can work on is told so, and holds up nobody else.
func TestOneCallerLeavesPlacesForOthers(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	f.openGateway(func(cfg *producer.Config) {
		cfg.Before = func(ctx context.Context, _ task.Spec) error {
			if task.UserFrom(ctx) == alice {
				<-held
			}
			return nil
		}
	})
	const calls = 2000
	e, _ := f.sealed(alice, "x")
	nc := f.connect("carol")
	codes := make(chan string, calls)
	inbox := nc.NewRespInbox()
	if _, err := nc.Subscribe(inbox, func(m *nats.Msg) { codes <- m.Header.Get("Nats-Service-Error-Code") }); err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		e.Installation, e.ID = "", fmt.Sprint("call-", i)
		if err := nc.PublishRequest(f.broker.Gateway(alice.Owner()), inbox, e.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	answer := func() string {
		t.Helper()
		select {
		case code := <-codes:
			return code
		case <-time.After(patience):
			t.Fatal("a call is not answered")
			return ""
		}
	}
	for range calls / 2 {
		if code := answer(); code != "busy" {
			t.Fatalf("a call of carol's is answered with %q", code)
		}
	}
	queue(f.site, f.caller("dave"), bob, say.On("", "dave's"))

	carol := f.caller("carol")
	again := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(as(context.WithoutCancel(t.Context()), alice), patience)
		defer cancel()
		_, err := producer.Enqueue(ctx, carol, say.On("", "a patient one"))
		again <- err
	}()
	brief, cancel := context.WithTimeout(as(t.Context(), alice), 200*time.Millisecond)
	defer cancel()
	if _, err := producer.Enqueue(brief, carol, say.On("", "an impatient one")); !errors.Is(err, producer.ErrUnknown) {
		t.Errorf("while the gateway is busy: %v", err)
	}
	release()
	if err := <-again; err != nil {
		t.Errorf("once it is not: %v", err)
	}
	for range calls - calls/2 {
		answer()
	}
}
