package trust_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// sealed is an honest job of a user as a producer would send it, not signed yet.
func (s *site) sealed(u task.User, id string, opts ...task.Option) (*task.Envelope, *nats.Msg) {
	s.t.Helper()
	e, err := say.On("", id, opts...).With(task.WithID(id)).Spec().Seal(task.Sealing{Installation: s.broker.Installation(), User: u, Now: s.broker.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	return e, &nats.Msg{Subject: s.broker.Job(e.Queue, e.Lane, u.Owner(), id), Data: e.Encode(), Header: nats.Header{}}
}

// sign signs as a producer of this installation, for now or another time.
func (s *site) sign(m *nats.Msg, by *task.Signer, origin string, off time.Duration) {
	m.Header[task.HeaderSignature] = []string{by.Sign(s.broker.Installation(), m.Subject, origin, m.Data, s.broker.Now().Add(off))}
	if origin != "" {
		m.Header[task.HeaderOrigin] = []string{origin}
	}
}

func TestAForgedJobIsPutAsideWithItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	stranger, old, mine := newSigner(t), newSigner(t), newSigner(t)
	s.keys = append(s.keys,
		task.Key{Public: mine.Public(), Name: "mine", Users: []task.User{alice}, Queues: []string{"docs"}},
		task.Key{Public: old.Public(), Name: "old", Realms: []string{realm}, Retired: time.Now().Add(-time.Hour)},
	)
	s.trust = task.TrustKeys(s.keys...)
	s.work()
	c := s.producer(s.web)
	seen := queue(s, c, alice, say.On("", "honest"))
	succeeds(s, seen)
	originOf := func(u task.User, id string, by *task.Signer) string {
		_, m := s.sealed(u, id)
		s.sign(m, by, "", 0)
		return task.OriginOf(m.Header[task.HeaderSignature], nil, m.Subject, m.Data)
	}
	ofAlice := originOf(alice, "seen", s.web)

	forgeries := []struct {
		name, code string
		make       func(id string) *nats.Msg
	}{
		{"nobody signed it", "unsigned", func(id string) *nats.Msg { _, m := s.sealed(alice, id); return m }},
		{"an empty signature", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			m.Header[task.HeaderSignature] = []string{""}
			return m
		}},
		{"63 bytes", "signature", func(id string) *nats.Msg { return s.withBytes(id, 63) }},
		{"65 bytes", "signature", func(id string) *nats.Msg { return s.withBytes(id, 65) }},
		{"64 zeros", "signature", func(id string) *nats.Msg { return s.withBytes(id, 64) }},
		{"no base64", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			m.Header[task.HeaderSignature] = []string{s.web.Public() + " 1 " + strings.Repeat("!", 86)}
			return m
		}},
		{"two signatures", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.web, "", 0)
			m.Header[task.HeaderSignature] = append(m.Header[task.HeaderSignature], m.Header[task.HeaderSignature][0])
			return m
		}},
		{"an unknown key", "key", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, stranger, "", 0); return m }},
		{"a retired key", "key", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, old, "", 0); return m }},
		{"a retired key that signs for the past", "key", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, old, "", -2*time.Hour); return m }},
		{"a user of another realm", "user", func(id string) *nats.Msg { _, m := s.sealed(visitor, id); s.sign(m, s.web, "", 0); return m }},
		{"the anonymous user", "user", func(id string) *nats.Msg { _, m := s.sealed(task.User{}, id); s.sign(m, s.web, "", 0); return m }},
		{"a worker's key without a job", "user", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, s.docs, "", 0); return m }},
		{"a worker's key, for another user than its job's", "user", func(id string) *nats.Msg { _, m := s.sealed(bob, id); s.sign(m, s.docs, ofAlice, 0); return m }},
		{"a worker's key, with a job that a stranger signed", "key", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.docs, originOf(alice, "strange", stranger), 0)
			return m
		}},
		{"a worker's key, with a job that it signed itself", "user", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.docs, originOf(alice, "own", s.docs), 0)
			return m
		}},
		{"a worker's key, with an outcome for a job", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			at := s.broker.Outcome("default", "succeeded", alice.Owner(), "seen")
			s.sign(m, s.docs, s.docs.Sign(s.broker.Installation(), at, "", m.Data, time.Now())+" "+strings.Repeat("0", 64)+" "+at, 0)
			return m
		}},
		{"a producer's key beside a job of somebody else", "queue", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, s.web, ofAlice, 0); return m }},
		{"a job that was signed for another queue", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id, task.InQueue("docs"))
			s.sign(m, s.web, "", 0)
			m.Subject = s.broker.Job("default", "default", alice.Owner(), id)
			return m
		}},
		{"a job under another user's subject", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.web, "", 0)
			m.Subject = s.broker.Job("default", "default", bob.Owner(), id)
			return m
		}},
		{"a job under another ID", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id+"-first")
			s.sign(m, s.web, "", 0)
			m.Subject = s.broker.Job("default", "default", alice.Owner(), id)
			return m
		}},
		{"signed for one user's subject, made for another", "subject", func(id string) *nats.Msg {
			_, m := s.sealed(bob, id)
			m.Subject = s.broker.Job("default", "default", alice.Owner(), id)
			s.sign(m, s.web, "", 0)
			return m
		}},
		{"another installation's signature", "signature", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			m.Header[task.HeaderSignature] = []string{s.web.Sign("ANOTHER", m.Subject, "", m.Data, s.broker.Now())}
			return m
		}},
		{"another installation's envelope", "installation", func(id string) *nats.Msg {
			e, m := s.sealed(alice, id)
			e.Installation = "ANOTHER"
			m.Data = e.Encode()
			s.sign(m, s.web, "", 0)
			return m
		}},
		{"signed eight days ago", "stale", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.web, "", -8*24*time.Hour)
			return m
		}},
		{"signed an hour ahead", "stale", func(id string) *nats.Msg { _, m := s.sealed(alice, id); s.sign(m, s.web, "", time.Hour); return m }},
		{"queued an hour after it was stored", "stale", func(id string) *nats.Msg {
			e, m := s.sealed(alice, id)
			e.Issued = e.Issued.Add(time.Hour)
			m.Data = e.Encode()
			s.sign(m, s.web, "", 0)
			return m
		}},
		{"kept shortly and signed long ago", "stale", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id, task.Keep(20*time.Minute))
			s.sign(m, s.web, "", -11*time.Minute)
			return m
		}},
		{"a header that a server sets", "header", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			s.sign(m, s.web, "", 0)
			m.Header["Nats-Subject"] = []string{"natsasync.job.default.default.x.y"}
			return m
		}},
		{"a later version of another's", "user", func(id string) *nats.Msg { return s.tomorrows(visitor, "docs", id, mine) }},
		{"a later version in another queue", "queue", func(id string) *nats.Msg { return s.tomorrows(alice, "default", id, mine) }},
		{"a later version by a worker's key without a job", "user", func(id string) *nats.Msg { return s.tomorrows(alice, "default", id, s.docs) }},
		{"a signed bomb", "truncated", func(id string) *nats.Msg {
			_, m := s.sealed(alice, id)
			m.Data = []byte{0xdd, 0xff, 0xff, 0xff, 0xff}
			s.sign(m, s.web, "", 0)
			return m
		}},
	}
	for i, f := range forgeries {
		id := "forged-" + string(rune('A'+i%26)) + string(rune('a'+i/26))
		m := f.make(id)
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if code := s.refused(m.Subject); code != f.code {
			t.Errorf("%s: put aside as %q, want %q: %s", f.name, code, f.code, s.aside()[m.Subject].Header.Get(stream.HeaderReason))
		}
		for _, user := range []string{"alice", "bob", "visitor", ""} {
			if s.count("say "+id+" "+user) > 0 {
				t.Errorf("%s: it ran as %q", f.name, user)
			}
		}
	}
	began := time.Now()
	succeeds(s, queue(s, c, alice, say.On("", "after all that")))
	if took := time.Since(began); took > atOnce {
		t.Errorf("an honest job took %v after the forgeries", took)
	}
}

// withBytes has a signature of n zeros.
func (s *site) withBytes(id string, n int) *nats.Msg {
	_, m := s.sealed(alice, id)
	m.Header[task.HeaderSignature] = []string{s.web.Public() + " 1 " + base64.RawURLEncoding.EncodeToString(make([]byte, n))}
	return m
}

// tomorrows is a job of a later version, of which nothing but its user can be read.
func (s *site) tomorrows(u task.User, queue, id string, by *task.Signer) *nats.Msg {
	body := []byte{0x82, 0xa1, 'v', task.Version + 1, 0xa1, 'u', 0x92}
	for _, part := range []string{u.Realm, u.ID} {
		body = append(append(body, 0xd9, byte(len(part))), part...)
	}
	m := &nats.Msg{Subject: s.broker.Job(queue, "default", u.Owner(), id), Data: body, Header: nats.Header{}}
	s.sign(m, by, "", 0)
	return m
}

func TestAReplayedJobDoesNotRunAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	_, m := s.sealed(alice, "once")
	s.sign(m, s.web, "", 0)
	for range 100 {
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil && !strings.Contains(err.Error(), "maximum messages per subject") {
			t.Fatal(err)
		}
	}
	c := s.producer(s.web)
	succeeds(s, queue(s, c, alice, say.On("", "after it")))
	if n := s.count("say once alice"); n != 1 {
		t.Errorf("it ran %d times", n)
	}

	// A job that was scheduled, brought once more as its worker signed it.
	copies := make(chan *nats.Msg, 10)
	sub, err := s.js.Conn().Subscribe(s.broker.LaterJob("default", alice.Owner(), "scheduled"), func(m *nats.Msg) { copies <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	succeeds(s, queue(s, c, alice, say.On("", "scheduled", task.Delay(200*time.Millisecond), task.WithID("scheduled"))))
	select {
	case put := <-copies:
		again := &nats.Msg{Subject: put.Subject, Data: put.Data, Header: put.Header}
		if _, err := s.js.PublishMsg(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("nobody saw the schedule")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left, err := s.broker.Left(t.Context()); err != nil || left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it stays in the stream of what comes later")
		}
	}
	if n := s.count("say scheduled alice"); n != 1 {
		t.Errorf("the scheduled job ran %d times", n)
	}
}

// Who may speak for themselves alone cannot speak for another by what they put into a job.
func TestNobodyElseIsInsideAJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	own := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: own.Public(), Name: "alice", Users: []task.User{alice}})
	s.trust = task.TrustKeys(s.keys...)
	s.work()
	c := s.producer(s.web)
	theirs := queue(s, c, bob, say.On("", "bob's secret"))
	succeeds(s, theirs)

	send := func(id string, change func(*task.Envelope)) {
		t.Helper()
		e, _ := s.sealed(alice, id)
		change(e)
		m := &nats.Msg{Subject: s.broker.Job(e.Queue, e.Lane, alice.Owner(), id), Data: e.Encode(), Header: nats.Header{}}
		s.sign(m, own, "", 0)
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	inside := func(id, lane string, u task.User) *task.Envelope {
		e, _ := s.sealed(u, "inside")
		e.ID, e.Lane, e.Parent = id, lane, strings.TrimSuffix(id, ".1")
		return e
	}
	seen := func(id string) *task.Outcome {
		t.Helper()
		_, err := result(s, producer.Find[string](c, id))
		o, lookErr := producer.Find[string](c, id).Outcome(t.Context())
		if lookErr != nil || o == nil {
			t.Fatalf("%s: %v, %v", id, err, lookErr)
		}
		return o
	}
	putAside := func(id string) {
		t.Helper()
		if code := s.refused(s.broker.Job("default", "default", alice.Owner(), id)); code != "members" {
			t.Errorf("%s, with bob's in it, is put aside as %q", id, code)
		}
	}
	for name, mode := range map[string]task.Mode{task.SerialBatch: task.Serial, task.ParallelBatch: task.Parallel} {
		id := strings.ReplaceAll(name, ".", "-")
		send(id, func(e *task.Envelope) {
			e.Task, e.Mode, e.Input = name, mode, nil
			e.Members = [][]byte{inside(id+".1", "free", bob).Encode()}
		})
		putAside(id)
	}
	send("calls-back", func(e *task.Envelope) {
		cb := inside("calls-back.cb.1", "callbacks", bob)
		cb.After, cb.When, cb.Take = "calls-back", task.WhenDone, task.TakeValue
		e.Callbacks = [][]byte{cb.Encode()}
	})
	putAside("calls-back")
	// A callback after another's job finds no such job: it looks among its own user's.
	send("eavesdrops", func(e *task.Envelope) {
		e.Lane, e.After, e.When, e.Take, e.Input = "callbacks", theirs.ID(), task.WhenDone, task.TakeValue, nil
	})
	if o := seen("eavesdrops"); o.End != task.Failed || o.Failure.Code != "no_such_job" {
		t.Errorf("a callback after bob's job: %+v", o)
	}
	for _, ran := range s.history() {
		if strings.Contains(ran, "inside") || ran == "say bob's secret alice" {
			t.Errorf("%q ran", ran)
		}
	}
}
