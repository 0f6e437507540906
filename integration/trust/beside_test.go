package trust_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// beside stores bytes under the ID of bob's job in a lane that nobody has made: no worker ever takes them.
func (s *site) beside(id string, body []byte) {
	s.t.Helper()
	m := &nats.Msg{Subject: s.broker.Job("default", "nowhere", bob.Owner(), id), Data: body}
	if _, err := s.js.PublishMsg(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
}

// runs is a job of bob's that runs until the gate opens.
func (s *site) runs(c *producer.Client) *producer.Job[string] {
	s.t.Helper()
	job := queue(s, c, bob, linger.On("/bobs/own", "bob's", task.WithoutQuota()))
	for s.count("linger bob's bob") == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	return job
}

// Bytes beside a job are not the job: who cancels it, looks at it or follows it finds what its user queued.
func TestWhatSomebodyPutBesideAJobIsNotTakenForIt(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(s *site, id string) []byte{
		"a byte": func(*site, string) []byte { return []byte("x") },
		"a job that nobody signed": func(s *site, id string) []byte {
			e, _ := s.sealed(bob, id)
			e.Task, e.Object = "pay.refund", "/rivals/account"
			return e.Encode()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c := s.producer(s.web)
			s.work()
			job := s.runs(c)
			s.beside(job.ID(), body(s, job.ID()))
			found := producer.Find[string](c, job.ID())
			if st, err := found.Status(t.Context()); err != nil || st.Task != linger.Name() || st.Object != "/bobs/own" {
				t.Errorf("it looks like %s on %s, %v", st.Task, st.Object, err)
			}
			after, err := found.OnSuccess(as(t.Context(), bob), hear)
			if err != nil {
				t.Fatal(err)
			}
			if st, err := after.Status(t.Context()); err != nil || st.Object != "/bobs/own" {
				t.Errorf("the callback works on %q, %v", st.Object, err)
			}
			if n, err := c.Queue("default").Purge(t.Context()); err != nil || n > 1 {
				t.Errorf("a purge cancelled %d jobs, %v", n, err)
			}
			if o, err := job.Outcome(t.Context()); o != nil || err != nil {
				t.Errorf("the purge ended the job that runs: %v, %v", o, err)
			}
			if err := c.Cancel(as(t.Context(), bob), job.ID()); err != nil {
				t.Fatal(err)
			}
			o, err := job.Outcome(t.Context())
			if err != nil || o == nil || o.End != task.Cancelled || o.Task != linger.Name() || o.Object != "/bobs/own" {
				t.Errorf("what was cancelled is %+v, %v", o, err)
			}
		})
	}
}

// A job is left to a worker that knows its task, whatever lies beside it.
func TestWhatLiesBesideAJobThatNobodyKnowsYetHasItNotPutAside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.producer(s.web)
	s.work()
	fresh := task.Define[string, string]("doc.fresh")
	s.beside("new", []byte("x"))
	job := queue(s, c, bob, fresh.On("", "bob's", task.WithID("new")))
	for {
		m, err := s.broker.Last(t.Context(), s.broker.Outcomes(), s.broker.Fence("default", bob.Owner(), "new"))
		if err != nil {
			t.Fatal(err)
		}
		if m != nil { // that it was seen
			break
		}
		if len(s.aside()) > 0 {
			t.Fatal("it was put aside")
		}
		time.Sleep(10 * time.Millisecond)
	}
	reg := s.registry()
	registry.Handle(reg, fresh, func(_ context.Context, _ task.Object, in string) (string, error) { return in, nil })
	s.workWith(reg)
	if out := succeeds(s, job); out != "bob's" {
		t.Errorf("it ended with %q", out)
	}
}

// A worker that shares the stream of what comes later leaves alone what only the newer worker of another queue can read.
func TestLaterVersionsOfAnotherQueueHoldUpNoDelayedJob(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mail := newSigner(t)
	s.keys = append(s.keys, task.Key{Public: mail.Public(), Name: "mail", Works: []string{"mail"}})
	s.trust = task.TrustKeys(s.keys...)
	c := s.producer(s.web)
	for i := range 80 { // more than a worker has slots for them
		newer := s.tomorrows(bob, "mail", fmt.Sprint("newer-", i), s.web)
		at, _ := s.broker.ParseJob(newer.Subject)
		later := s.broker.Job("mail", stream.LaneLater, bob.Owner(), at.ID)
		origin := task.OriginOf([]string{s.web.Sign(s.broker.Installation(), later, "", newer.Data, s.broker.Now())}, nil, later, newer.Data)
		due := &nats.Msg{Subject: s.broker.DueJob("mail", bob.Owner(), at.ID), Data: newer.Data, Header: nats.Header{}}
		s.sign(due, mail, origin, 0)
		if _, err := s.js.PublishMsg(t.Context(), due); err != nil {
			t.Fatal(err)
		}
	}
	s.work()
	succeeds(s, queue(s, c, alice, say.On("", "delayed", task.Delay(time.Second))))
	if n, err := s.broker.Count(t.Context(), s.broker.Outcomes(), s.broker.OutcomeFilter("mail", "*")); err != nil || n != 0 {
		t.Errorf("it recorded %d times in the queue of others, %v", n, err)
	}
	if n := len(s.aside()); n != 0 {
		t.Errorf("%d were put aside", n)
	}
}

// Callbacks that lie nowhere any more do not keep whoever waits for their job.
func TestAWaitEndsWhenTheCallbacksWereTakenAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.producer(s.web)
	job := queue(s, c, alice, say.On("", "x").OnSuccess(hear))
	ended := &task.Record{Outcome: task.Outcome{ID: job.ID(), Task: say.Name(), Queue: "default", User: alice, End: task.Succeeded}, Callbacks: true}
	s.put(s.docs, "default", stream.KindSucceeded, alice, job.ID(), ended.Encode())
	waited := make(chan error, 1)
	go func() {
		_, err := result(s, job)
		waited <- err
	}()
	select {
	case err := <-waited:
		t.Fatalf("the wait ended with %v while a worker may still queue the callbacks", err)
	case <-time.After(15 * time.Second): // it looks twice in that time
	}
	m, err := s.broker.Last(t.Context(), s.broker.Jobs(), s.broker.Job("default", "default", alice.Owner(), job.ID()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.broker.Delete(t.Context(), s.broker.Jobs(), m.Seq); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, producer.ErrNoSuchJob) {
		t.Errorf("the wait ends with %v, want ErrNoSuchJob", err)
	}
	if o, err := job.Outcome(t.Context()); err != nil || o == nil || o.End != task.Succeeded {
		t.Errorf("the job's own outcome is %v, %v", o, err)
	}
}

// A user's login reads its jobs by their subjects alone: what lies beside them, even what nobody can read, hides none.
func TestWhatLiesBesideAJobHidesItNotFromAUserWhoMayReadItsOwnAlone(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	job := f.runs(f.client("web"))
	beside := f.broker.Job("default", "nowhere", bob.Owner(), job.ID())
	for name, header := range map[string]string{
		"no headers": "NATS/1.0\r\n\r\n", "a word of the server's": "NATS/1.0 503\r\n\r\n", "headers that nobody can read": "NATS/1.0\r\na line without a colon\r\n\r\n",
	} {
		f.publishRaw("web", beside, header)
		seq := f.newest(beside)
		his := producer.Find[string](f.client("bob"), job.ID())
		if st, err := his.Status(as(t.Context(), bob)); err != nil || st.Task != linger.Name() {
			t.Errorf("beside %s: %+v, %v", name, st, err)
		}
		if err := f.broker.Delete(t.Context(), f.broker.Jobs(), seq); err != nil {
			t.Fatal(err)
		}
	}
	close(f.gate)
	succeeds(f.site, f.seen(job))
}

// publishRaw publishes without a client, which would look at the headers.
func (f *fort) publishRaw(login, subject, header string) {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.server.URL(), "nats://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	lines := bufio.NewReader(conn)
	info, err := lines.ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	var hello struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(info, "INFO ")), &hello); err != nil {
		f.t.Fatal(err)
	}
	pair, err := nkeys.FromSeed(f.seeds[login])
	if err != nil {
		f.t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	sig, err := pair.Sign([]byte(hello.Nonce))
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true,\"nkey\":%q,\"sig\":%q}\r\nHPUB %s %d %d\r\n%s\r\nPING\r\n",
		public, base64.RawURLEncoding.EncodeToString(sig), subject, len(header), len(header), header)
	if err != nil {
		f.t.Fatal(err)
	}
	for line := ""; line != "PONG\r\n"; {
		if line, err = lines.ReadString('\n'); err != nil || strings.HasPrefix(line, "-ERR") {
			f.t.Fatalf("the server says %q, %v", line, err)
		}
	}
}

// newest waits for a message on a subject and returns its sequence.
func (s *site) newest(subject string) uint64 {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		m, err := s.broker.Last(s.t.Context(), s.broker.Jobs(), subject)
		if err != nil {
			s.t.Fatal(err)
		}
		if m != nil {
			return m.Seq
		}
	}
	s.t.Fatalf("there is no message on %s", subject)
	return 0
}
