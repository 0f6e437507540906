package trust_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Everything below goes through a plain connection: what a hostile process would send, not what our packages do.

// lengths are the last sequences of the streams: what was stored at all.
func (f *fort) lengths() map[string]uint64 {
	f.t.Helper()
	all := map[string]uint64{}
	for _, name := range []string{f.broker.Jobs(), f.broker.Later(), f.broker.Outcomes(), f.broker.Rejected()} {
		s, err := f.js.Stream(f.t.Context(), name)
		if err != nil {
			f.t.Fatal(err)
		}
		all[name] = s.CachedInfo().State.LastSeq
	}
	return all
}

// asks sends a request with a reply subject of the attacker's choice, and waits until the server has seen it.
func asks(t *testing.T, nc *nats.Conn, subject, reply string, header nats.Header, body []byte) {
	t.Helper()
	if err := nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: body}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestALoginReachesNothingBeyondItsRole(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	web := f.client("web")
	theirs := queue(f.site, web, bob, say.On("", "bob's secret"))
	succeeds(f.site, f.seen(theirs))
	own := queue(f.site, web, alice, say.On("", "alice's own"))
	succeeds(f.site, f.seen(own))
	held := queue(f.site, web, bob, linger.On("", "bob's long one", task.InQueue("docs")))
	for f.count("linger bob's long one bob") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	behind := queue(f.site, web, bob, say.On("", "behind it", task.InQueue("docs")))
	n := f.broker.Names
	outcome := n.Outcome("default", "succeeded", bob.Owner(), theirs.ID())
	jobs, outcomes := n.Jobs(), n.Outcomes()
	body := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const api = "NATSASYNC.API."
	type try struct {
		name, subject, reply string
		header               nats.Header
		body                 []byte
	}
	tries := []try{
		{"record an outcome", n.Outcome("docs", "succeeded", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"record over an outcome", outcome, "", nil, []byte("x")},
		{"record a claim", n.Outcome("docs", "claimed", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"cancel somebody's job", n.Outcome("docs", "cancelled", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"write a note", n.Note(bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"put a job off", n.LaterJob("docs", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"bring a job of later", n.DueJob("docs", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"put a message aside", n.RejectedSubject("unsigned"), "", nil, []byte("x")},
		{"announce an outcome", n.Record("docs", "succeeded", bob.Owner(), held.ID()), "", nil, []byte("x")},
		{"ack somebody's job", "$JS.ACK." + jobs + ".docs_default.1.4.2.0.0", "", nil, []byte("+ACK")},
		{"end somebody's delivery", "$JS.ACK." + jobs + ".docs_default.1.4.2.0.0", "", nil, []byte("+TERM")},
		{"take a job", api + "CONSUMER.MSG.NEXT." + jobs + ".docs_default", "_INBOX_evil.x", nil, []byte("1")},
		{"take a job of its account", "$JS.API.CONSUMER.MSG.NEXT." + jobs + ".docs_default", "_INBOX_evil.x", nil, []byte("1")},
		{"make a consumer", api + "CONSUMER.CREATE." + outcomes + ".evil", "", nil, body(map[string]any{"stream_name": outcomes, "config": map[string]any{"name": "evil", "deliver_subject": outcome}})},
		{"delete a consumer", api + "CONSUMER.DELETE." + jobs + ".docs_default", "", nil, nil},
		{"delete a stream", api + "STREAM.DELETE." + jobs, "", nil, nil},
		{"purge a stream", api + "STREAM.PURGE." + outcomes, "", nil, nil},
		{"change a stream", api + "STREAM.UPDATE." + jobs, "", nil, body(map[string]any{"name": jobs, "subjects": []string{"x"}})},
		{"delete an outcome", api + "STREAM.MSG.DELETE." + outcomes, "", nil, body(map[string]any{"seq": 1})},
	}
	// With the reply of what it may ask, it has the server publish the answer.
	for _, reply := range []string{outcome, n.Outcome("docs", "succeeded", bob.Owner(), held.ID()), n.Job("docs", "default", bob.Owner(), "injected"), n.LaterJob("docs", bob.Owner(), "injected")} {
		for _, ask := range []string{
			api + "STREAM.INFO." + jobs, api + "DIRECT.GET." + outcomes + "." + n.Outcome("default", "succeeded", alice.Owner(), own.ID()),
			api + "CONSUMER.INFO." + outcomes + ".mailer", "$JS.API.INFO", "$SYS.REQ.USER.INFO", "$SRV.INFO.natsasync-worker",
		} {
			tries = append(tries, try{"an answer of " + ask + " for " + reply, ask, reply, nil, nil})
		}
		tries = append(tries, try{"a stored message for " + reply, api + "STREAM.MSG.GET." + outcomes, reply, nil, body(map[string]any{"last_by_subj": outcome})})
	}
	before := f.lengths()
	for _, name := range []string{"web", "alice", "waiter", "eye", "mailer"} {
		nc := f.connect(name)
		for _, try := range tries {
			asks(t, nc, try.subject, try.reply, try.header, try.body)
		}
		time.Sleep(50 * time.Millisecond) // an answer that should not come would come now
		for stream, was := range before {
			if is := f.lengths()[stream]; is != was {
				t.Fatalf("login %s has stored %d messages in %s", name, is-was, stream)
			}
		}
	}
	// From within the account of the streams the same request does store something: the attack is a real one.
	asks(t, f.connect("admin"), "$JS.API.STREAM.INFO."+jobs, n.Job("docs", "free", bob.Owner(), "injected"), nil, nil)
	f.refused(n.Job("docs", "free", bob.Owner(), "injected"))
	before = f.lengths()
	// The same with what each may publish: only the last job of its own is stored, nothing is emptied, nobody is led on.
	for _, name := range []string{"web", "alice"} {
		nc := f.connect(name)
		for i, header := range []nats.Header{
			{"Nats-Rollup": {"all"}},
			{"Nats-Rollup": {"sub"}},
			{"Nats-TTL": {"1s"}},
			{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {n.Job("docs", "default", bob.Owner(), "scheduled")}},
			{"Nats-Schedule-Next": {"purge"}, "Nats-Scheduler": {n.LaterJob("docs", bob.Owner(), "x")}},
		} {
			asks(t, nc, n.Job("default", "default", alice.Owner(), fmt.Sprint("headers-", name, i)), outcome, header, []byte("x"))
		}
	}
	for stream, was := range before {
		if is := f.lengths()[stream]; is != was {
			t.Errorf("headers of the server's have stored %d messages in %s", is-was, stream)
		}
	}
	close(f.gate)
	for _, job := range []*producer.Job[string]{held, behind, theirs} {
		succeeds(f.site, f.seen(job))
	}
	if n := f.count("linger bob's long one bob"); n != 1 {
		t.Errorf("bob's job ran %d times", n)
	}
	fast(f)
}

// seen is a job as who may wait for jobs has it.
func (f *fort) seen(job *producer.Job[string]) *producer.Job[string] {
	f.t.Helper()
	if f.sees == nil {
		f.sees = f.client("waiter")
	}
	return producer.Find[string](f.sees, job.ID())
}

// fast says whether an honest job goes through at once.
func fast(f *fort) {
	f.t.Helper()
	began := time.Now()
	succeeds(f.site, f.seen(queue(f.site, f.client("web"), alice, say.On("", "after it all"))))
	if took := time.Since(began); took > atOnce {
		f.t.Errorf("an honest job took %v", took)
	}
}

func TestAUserSeesAndCancelsTheirOwnJobsAlone(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	web := f.client("web")
	theirs := queue(f.site, web, bob, say.On("", "bob's secret"))
	succeeds(f.site, f.seen(theirs))
	waits := queue(f.site, web, bob, linger.On("", "waits", task.WithoutQuota()))
	n := f.broker.Names
	nc := f.connect("alice")
	const api = "NATSASYNC.API."
	own := n.Outcome("default", "succeeded", alice.Owner(), "none")
	secret := n.Outcome("default", "succeeded", bob.Owner(), theirs.ID())

	for _, subject := range []string{
		n.Record("*", "*", bob.Owner(), ">"), n.Record("*", "*", "*", ">"), "natsasync.>", ">", "_INBOX_bob.>", "_INBOX.>", n.Event("*", "*", bob.Owner(), ">"),
	} {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			continue
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		succeeds(f.site, f.seen(queue(f.site, web, bob, say.On("", "while she listens"))))
		if m, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			t.Errorf("alice hears %s on %s", m.Subject, subject)
		}
		_ = sub.Unsubscribe()
	}
	for name, ask := range map[string]struct {
		subject string
		body    any
	}{
		"by bob's subject":               {api + "DIRECT.GET." + n.Outcomes() + "." + secret, nil},
		"by a wildcard":                  {api + "DIRECT.GET." + n.Outcomes() + "." + n.Outcome("*", "*", "*", theirs.ID()), nil},
		"by sequence, on her own":        {api + "DIRECT.GET." + n.Outcomes() + "." + own, map[string]any{"seq": 1}},
		"by bob's subject, on her own":   {api + "DIRECT.GET." + n.Outcomes() + "." + own, map[string]any{"last_by_subj": secret}},
		"many, on her own":               {api + "DIRECT.GET." + n.Outcomes() + "." + own, map[string]any{"multi_last": []string{secret}}},
		"in bulk":                        {api + "DIRECT.GET." + n.Outcomes(), map[string]any{"multi_last": []string{secret}}},
		"by sequence":                    {api + "DIRECT.GET." + n.Outcomes(), map[string]any{"seq": 1}},
		"through the leader":             {api + "STREAM.MSG.GET." + n.Outcomes(), map[string]any{"last_by_subj": secret}},
		"which IDs there are":            {api + "STREAM.INFO." + n.Jobs(), map[string]any{"subjects_filter": ">"}},
		"his notes":                      {api + "DIRECT.GET." + n.Outcomes() + "." + n.Note(bob.Owner(), theirs.ID()), nil},
		"his jobs":                       {api + "DIRECT.GET." + n.Jobs() + "." + n.Job("*", "*", bob.Owner(), waits.ID()), nil},
		"through a consumer of her own":  {api + "CONSUMER.CREATE." + n.Outcomes() + ".c." + secret, map[string]any{"stream_name": n.Outcomes(), "config": map[string]any{"name": "c", "filter_subject": secret}}},
		"through the API of her account": {"$JS.API.STREAM.MSG.GET." + n.Outcomes(), map[string]any{"last_by_subj": secret}},
	} {
		var body []byte
		if ask.body != nil {
			var err error
			if body, err = json.Marshal(ask.body); err != nil {
				t.Fatal(err)
			}
		}
		m, err := nc.Request(ask.subject, body, 100*time.Millisecond)
		if err == nil && (strings.Contains(string(m.Data), "secret") || strings.Contains(string(m.Data), theirs.ID()) || m.Header.Get(jetstream.SequenceHeader) != "") {
			t.Errorf("alice reads bob's outcome %s: %s", name, m.Data)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	mine := f.client("alice")
	if o, err := producer.Find[string](mine, theirs.ID()).Outcome(ctx); o != nil {
		t.Errorf("alice finds bob's outcome: %v, %v", o, err)
	}
	if err := mine.Cancel(ctx, waits.ID()); err == nil {
		t.Error("alice cancels bob's job")
	}
	if o, err := producer.Find[string](f.client("waiter"), waits.ID()).Outcome(t.Context()); err != nil || o != nil {
		t.Errorf("bob's job has ended: %v, %v", o, err)
	}

	// What she may: end a job of her own. But not one that has ended, whatever she writes.
	done := queue(f.site, web, alice, say.On("", "done"))
	succeeds(f.site, f.seen(done))
	late := &task.Record{Outcome: task.Outcome{ID: done.ID(), Task: say.Name(), Queue: "default", User: alice, End: task.Cancelled}}
	m := &nats.Msg{Subject: n.Outcome("default", "cancelled", alice.Owner(), done.ID()), Data: late.Encode(), Header: nats.Header{}}
	f.sign(m, f.signer("alice"), "", 0)
	if _, err := nc.RequestMsg(m, patience); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"waiter", "alice"} {
		if out, err := result(f.site, producer.Find[string](f.client(name), done.ID())); err != nil || out != "done" {
			t.Errorf("%s sees a job cancelled after its end: %q, %v", name, out, err)
		}
	}
	close(f.gate)
	succeeds(f.site, f.seen(waits))
}

// A worker's login without its key is no worker.
func TestARecordThatNobodyMaySignCountsForNothing(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	n := f.broker.Names
	web, js := f.client("web"), f.login("docs")
	job := queue(f.site, web, alice, say.On("", "true"))
	forged := &task.Record{Outcome: task.Outcome{ID: job.ID(), Task: say.Name(), Queue: "default", User: alice, End: task.Succeeded, Value: []byte("\xa6forged"), Attempt: 1}}
	claim := &task.Claim{ID: job.ID(), Worker: "evil", State: task.ClaimRetrying, NotBefore: time.Now().Add(time.Hour), Created: time.Now().Add(time.Hour), Attempts: 9}
	for name, by := range map[string]*task.Signer{"nobody": nil, "a producer": f.web, "alice": f.signer("alice"), "a stranger": newSigner(t)} {
		for kind, data := range map[string][]byte{"succeeded": forged.Encode(), "claimed": claim.Encode()} {
			m := &nats.Msg{Subject: n.Outcome("default", kind, alice.Owner(), job.ID()), Data: data, Header: nats.Header{}}
			if by != nil {
				f.sign(m, by, "", 0)
			}
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				t.Fatalf("%s, %s: %v", name, kind, err)
			}
		}
		if o, err := f.seen(job).Outcome(t.Context()); err != nil || o != nil {
			t.Errorf("an outcome by %s counts: %v, %v", name, o, err)
		}
	}
	began := time.Now()
	f.employ()
	if out := succeeds(f.site, f.seen(job)); out != "true" {
		t.Errorf("the job has the outcome %q", out)
	}
	if took := time.Since(began); took > atOnce {
		t.Errorf("the job ended after %v", took)
	}
	// Over a true outcome they change nothing either.
	m := &nats.Msg{Subject: n.Outcome("default", "failed", alice.Owner(), job.ID()), Data: []byte("x")}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if out := succeeds(f.site, producer.Find[string](f.client("waiter"), job.ID())); out != "true" {
		t.Errorf("after a forged record the outcome is %q", out)
	}
	nc := js.Conn()
	const api = "NATSASYNC.API."
	before := f.lengths()
	for _, subject := range []string{
		n.Outcome("mail", "succeeded", alice.Owner(), "x"), n.Outcome("mail", "failed", alice.Owner(), "x"), api + "STREAM.DELETE." + n.Jobs(), api + "STREAM.PURGE." + n.Outcomes(),
		api + "STREAM.MSG.DELETE." + n.Outcomes(), api + "CONSUMER.DELETE." + n.Jobs() + ".mail_default", api + "CONSUMER.MSG.NEXT." + n.Jobs() + ".mail_default",
	} {
		if m, err := nc.Request(subject, []byte(`{"seq":1}`), 50*time.Millisecond); err == nil {
			t.Errorf("the worker of other queues may ask %s: %s", subject, m.Data)
		} else if !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for stream, was := range before {
		if is := f.lengths()[stream]; is != was {
			t.Errorf("%d messages were stored in %s", is-was, stream)
		}
	}
	fast(f)
}
