package trust_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// What a server says has no body and a header Status. alice may store such messages; whoever handles and lists those of all
// goes on.
func TestAStoredMessageIsNoWordOfTheServers(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	handled := make(chan string, 10)
	if err := hooks.Declare(t.Context(), f.js, hooks.Config{Durable: "mailer", Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	success := hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error { handled <- o.ID; return nil }}
	sub, err := hooks.Subscribe(t.Context(), f.login("mailer"), success, hooks.Config{Durable: "mailer", BindOnly: true, Trust: f.trust, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Stop)
	web := f.client("web")
	first, second := queue(f.site, web, bob, linger.On("", "first")), queue(f.site, web, bob, say.On("", "second"))

	nc := f.connect("alice")
	for _, status := range []string{"100", "204", "400", "404", "408", "409", "413", "503"} {
		for _, subject := range []string{
			f.broker.Outcome("default", "cancelled", alice.Owner(), "x"+status),
			f.broker.Job("default", "nolane", alice.Owner(), "x"+status),
		} {
			m := &nats.Msg{Subject: subject, Header: nats.Header{"Status": {status}, "Description": {"No Responders"}}}
			if _, err := nc.RequestMsg(m, patience); err != nil {
				t.Fatal(err)
			}
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	eye := f.client("eye")
	listed := map[string]bool{}
	for st, err := range eye.Queue("default").Jobs(ctx, producer.JobFilter{}) {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		listed[st.ID] = true
	}
	if !listed[second.ID()] {
		t.Errorf("listed are %v", listed)
	}
	for _, err := range eye.Outcomes(ctx, producer.OutcomeFilter{}) {
		if err != nil {
			t.Fatalf("outcomes: %v", err)
		}
	}
	close(f.gate)
	for _, job := range []*producer.Job[string]{first, second} {
		succeeds(f.site, f.seen(job))
		select {
		case id := <-handled:
			if id != job.ID() {
				t.Errorf("handled is %s, want %s", id, job.ID())
			}
		case <-time.After(patience):
			t.Fatal("no outcome is handled any more")
		}
	}
}
