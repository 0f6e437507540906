package trust_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/internal/gateway"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// openGateway runs a gateway for which the login carol is the user alice.
func (f *fort) openGateway() {
	f.t.Helper()
	nc := f.connect("gate")
	js := f.login("gate")
	c, err := producer.New(f.t.Context(), js, producer.Config{BindOnly: true, Signer: f.signer("gate"), Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	account := "APPS"
	if f.creds != nil {
		account = f.appsID
	}
	people := gateway.People{Logins: map[gateway.Caller]task.User{{Account: account, User: f.signer("carol").Public()}: alice}}
	g, err := gateway.Start(nc, c, f.broker.Gateway(), people, quiet)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			f.t.Errorf("stop the gateway: %v", err)
		}
	})
	if err := nc.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fort) caller(name string) *producer.Client {
	f.t.Helper()
	c, err := producer.New(f.t.Context(), f.login(name), producer.Config{BindOnly: true, Gateway: true, Logger: quiet})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Who may publish no job has the gateway queue it, in the name that the server says is theirs.
func TestAGatewayQueuesForWhoeverAsks(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			f.openGateway()
			carol := f.caller("carol")
			job := queue(f.site, carol, task.User{}, say.On("/a/b", "through the gate").OnSuccess(hear))
			succeeds(f.site, f.seen(job))
			if f.count("say through the gate alice") != 1 || f.count("hear through the gate alice") != 1 {
				t.Errorf("it did not run as alice, or its callback did not: %v", f.history())
			}
			again, err := producer.Enqueue(t.Context(), carol, say.On("", "x", task.WithID(job.ID())))
			if err != nil || again.ID() != job.ID() {
				t.Errorf("queued again: %v", err)
			}
			results, err := producer.Enqueue(t.Context(), carol, batch.Serial(say.On("", "one"), batch.Parallel(say.On("", "two"))))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := result(f.site, producer.Find[batch.Results](f.client("waiter"), results.ID())); err != nil {
				t.Errorf("a batch: %v", err)
			}

			if _, err := producer.Enqueue(as(t.Context(), bob), carol, say.On("", "as bob")); !errors.Is(err, task.ErrUnauthorized) {
				t.Errorf("as somebody else: %v", err)
			}
			if _, err := producer.Enqueue(t.Context(), f.caller("dave"), say.On("", "as nobody")); !errors.Is(err, task.ErrUnauthorized) {
				t.Errorf("a login that is nobody: %v", err)
			}
			if _, err := producer.Enqueue(t.Context(), carol, say.On("", "nowhere", task.InQueue("nowhere"))); !errors.Is(err, producer.ErrNoSuchQueue) {
				t.Errorf("a queue that is not there: %v", err)
			}
			if _, err := producer.Enqueue(t.Context(), carol.Begin(), say.On("", "tx")); err == nil || !strings.Contains(err.Error(), "one by one") {
				t.Errorf("a Tx: %v", err)
			}
		})
	}
}

// The server writes over what a caller says about itself; without the server's word nobody is anybody.
func TestAGatewayBelievesTheServerAlone(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	f.openGateway()
	e, _ := f.sealed(alice, "forged")
	e.User, e.Installation = task.User{}, ""
	claim := nats.Header{"Nats-Request-Info": {`{"acc":"APPS","user":"` + f.signer("carol").Public() + `"}`}}
	ask := func(name string, header nats.Header, body []byte) string {
		t.Helper()
		nc := f.connect(name)
		m, err := nc.RequestMsg(&nats.Msg{Subject: f.broker.Gateway(), Header: header, Data: body}, patience)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m.Header.Get("Nats-Service-Error-Code")
	}
	if code := ask("dave", claim, e.Encode()); code != "unauthorized" {
		t.Errorf("dave says that he is carol: %q", code)
	}
	if code := ask("admin", nil, e.Encode()); code != "unauthorized" {
		t.Errorf("from within the account, without the server's word: %q", code)
	}
	for want, body := range map[string][]byte{
		"empty": nil, "truncated": {0xdd, 0xff, 0xff, 0xff, 0xff}, "type": {0x90}, "format": []byte(`{"t":"doc.say"}`), "too_large": make([]byte, task.MaxEnvelope+1),
	} {
		if code := ask("carol", nil, body); code != want {
			t.Errorf("%s: %q", want, code)
		}
	}
	nc := f.connect("carol")
	before := f.lengths()
	asks(t, nc, f.broker.Job("default", "default", alice.Owner(), "direct"), "", nil, e.Encode())
	asks(t, nc, f.broker.Gateway(), f.broker.Job("default", "default", bob.Owner(), "reply"), nil, nil)
	succeeds(f.site, f.seen(queue(f.site, f.caller("carol"), task.User{}, say.On("", "honest"))))
	for stream, was := range before {
		if is := f.lengths()[stream]; stream == f.broker.Rejected() && is != was || stream == f.broker.Jobs() && is != was+1 {
			t.Errorf("%d messages were stored in %s", is-was, stream)
		}
	}
	if f.count("say forged alice")+f.count("say forged ") != 0 {
		t.Error("a forged call ran")
	}
}
