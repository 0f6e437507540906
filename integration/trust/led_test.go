package trust_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// messages are how many are in each stream.
func (f *fort) messages() map[string]uint64 {
	f.t.Helper()
	all := map[string]uint64{}
	for _, name := range []string{f.broker.Jobs(), f.broker.Later(), f.broker.Outcomes(), f.broker.Rejected()} {
		s, err := f.js.Stream(f.t.Context(), name)
		if err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
		all[name] = s.CachedInfo().State.Msgs
	}
	return all
}

// Who may store bytes and read them has the server send them on as requests of its own: no right limits where an answer
// goes. What the account imports does.
func TestAnAnswerLedOnIsNoRequestThatItsSenderMayNotMake(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			n := f.broker.Names
			web := f.client("web")
			queue(f.site, web, bob, say.On("", "bob's", task.InQueue("mail")))
			queue(f.site, web, bob, say.On("", "later", task.InQueue("mail")))
			store := func(login, subject, body string) {
				t.Helper()
				if m, err := f.connect(login).RequestMsg(&nats.Msg{Subject: subject, Data: []byte(body)}, patience); err != nil || m.Header.Get("Status") != "" {
					t.Fatalf("%s stores on %s: %v", login, subject, err)
				}
			}
			lead := func(login, get, to string) {
				t.Helper()
				asks(t, f.connect(login), get, to, nil, nil)
			}
			for _, login := range []string{"alice", "docs"} {
				note, stream := n.Note(bob.Owner(), "evil"), n.Outcomes()
				if login == "alice" {
					note, stream = n.Job("mail", "free", alice.Owner(), "evil"), n.Jobs()
				}
				for _, body := range []string{
					`{"seq":2}`, `{}`, ``,
					fmt.Sprintf(`{"stream_name":%q,"config":{"durable_name":"evil","ack_policy":"explicit","filter_subject":"natsasync.job.mail.x.*.>"}}`, n.Jobs()),
					`{"pause_until":"2099-01-01T00:00:00Z"}`,
				} {
					store(login, note, body)
					was := f.messages()
					for _, api := range []string{"$JS.API.", "NATSASYNC.API."} {
						for _, to := range []string{
							"STREAM.MSG.DELETE." + n.Jobs(), "STREAM.PURGE." + n.Jobs(), "STREAM.PURGE." + n.Outcomes(), "STREAM.DELETE." + n.Rejected(),
							"CONSUMER.DURABLE.CREATE." + n.Jobs() + ".evil", "CONSUMER.PAUSE." + n.Jobs() + ".docs_default", "CONSUMER.DELETE." + n.Jobs() + ".docs_default",
						} {
							lead(login, "NATSASYNC.API.DIRECT.GET."+stream+"."+note, api+to)
						}
					}
					time.Sleep(50 * time.Millisecond) // what should not happen would have happened
					if is := f.messages(); fmt.Sprint(is) != fmt.Sprint(was) {
						t.Errorf("%s has the server do something with %s: %v, was %v", login, body, is, was)
					}
				}
			}
			if _, err := f.js.Consumer(t.Context(), n.Jobs(), "evil"); err == nil {
				t.Error("a consumer was made")
			}
			if c, err := f.js.Consumer(t.Context(), n.Jobs(), "docs_default"); err != nil || c.CachedInfo().Paused {
				t.Errorf("the lane is paused or gone: %v", err)
			}
			// From within the account of the streams it works: the attack is a real one.
			store("admin", n.Note(bob.Owner(), "evil"), `{}`)
			lead("admin", "$JS.API.DIRECT.GET."+n.Outcomes()+"."+n.Note(bob.Owner(), "evil"), "$JS.API.STREAM.PURGE."+n.Jobs())
			for deadline := time.Now().Add(patience); f.messages()[n.Jobs()] > 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("within the account of the streams nothing happens either")
				}
			}
		})
	}
}
