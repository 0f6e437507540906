package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestAQueuedCallLiesUnderItsQueueLaneOwnerAndID(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	job := enqueue(t, w.client, add.On("/plone/folder", args{40, 2}))
	if job.Queue() != "default" {
		t.Errorf("queue is %q", job.Queue())
	}
	msg := w.pull(t, "default", "default")
	if want := "natsasync.job.default.default." + alice.Owner() + "." + job.ID(); msg.Subject() != want {
		t.Errorf("subject is %s, want %s", msg.Subject(), want)
	}
	for header, want := range map[string]string{"Async-Task": "math.add", "Async-Object": "/plone/folder", "Async-User": alice.String()} {
		if got := msg.Headers().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	e := decode(t, msg.Data())
	if e.User != alice || e.Object != "/plone/folder" || e.Installation != w.broker.Installation() {
		t.Errorf("envelope is %+v", e)
	}
	var in args
	if err := task.Unmarshal(e.Input, &in); err != nil || in != (args{40, 2}) {
		t.Errorf("input is %v, %v", in, err)
	}
}

func TestLanesFollowFromQuotaAndTime(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	if err := w.client.Queue("docs").SetQuota(t.Context(), "smtp", 3); err != nil {
		t.Fatal(err)
	}
	for lane, call := range map[string]task.Call[string]{
		"default": create.On("", "x"),
		"free":    create.On("", "x", task.WithoutQuota()),
		"smtp":    create.On("", "x", task.WithQuota("smtp")),
		"later":   create.On("", "x", task.WithQuota("smtp"), task.Delay(time.Hour)),
	} {
		job := enqueue(t, w.client, call)
		m, err := w.broker.Last(t.Context(), w.broker.Jobs(), w.broker.Job("docs", lane, alice.Owner(), job.ID()))
		if err != nil || m == nil {
			t.Errorf("lane %s holds %v, %v", lane, m, err)
			continue
		}
		if lane == "later" && decode(t, m.Data).Lane != "smtp" {
			t.Errorf("a delayed job forgot its lane: %s", decode(t, m.Data).Lane)
		}
	}
}

func TestQueueingTheSameIDAgainMakesNoSecondJob(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	call := add.On("", args{}, task.WithID("nightly-1"))
	first, second := enqueue(t, w.client, call), enqueue(t, w.client, call)
	if first.ID() != "nightly-1" || second.ID() != "nightly-1" {
		t.Errorf("IDs are %s and %s", first.ID(), second.ID())
	}
	if n := w.jobs(t, "default"); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}

func TestBadInputIsNamedAndNothingIsSent(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	deep := create.On("", "x")
	for range task.MaxDepth {
		deep = create.On("", "x").Then(deep)
	}
	many := create.On("", "x")
	for range task.MaxCallbacks + 1 {
		many = many.Then(create.On("", "x"))
	}
	for _, row := range []struct {
		story, says string
		user        task.User
		call        task.Spec
		is          error
	}{
		{story: "no name", says: `name ""`, call: task.Spec{}},
		{story: "a space in the name", says: `name "a b.c"`, call: task.Spec{Task: "a b.c"}},
		{story: "a wildcard as a name", says: `name "a*"`, call: task.Spec{Task: "a*"}},
		{story: "a NUL in the name", says: `name "a\x00b"`, call: task.Spec{Task: "a\x00b"}},
		{story: "a long name", says: "65 bytes", call: task.Spec{Task: strings.Repeat("a", 65)}},
		{story: "a dotted queue", says: `queue "mail.out"`, call: create.On("", "x", task.InQueue("mail.out")).Spec()},
		{story: "a wildcard queue", says: `queue "*"`, call: create.On("", "x", task.InQueue("*")).Spec()},
		{story: "an accented queue", says: `queue "é"`, call: create.On("", "x", task.InQueue("é")).Spec()},
		{story: "a system queue", says: `queue "$JS"`, call: create.On("", "x", task.InQueue("$JS")).Spec()},
		{story: "a long queue", says: "300 bytes", call: create.On("", "x", task.InQueue(strings.Repeat("a", 300))).Spec()},
		{story: "a queue that is not there", says: `"docs"`, call: create.On("", "x", task.InQueue("nowhere")).Spec(), is: producer.ErrNoSuchQueue},
		{story: "a quota that is not there", says: `"default"`, call: create.On("", "x", task.WithQuota("smtp")).Spec(), is: producer.ErrNoSuchQuota},
		{story: "a quota of a queue that is not there", says: `"docs"`, call: create.On("", "x", task.InQueue("nowhere"), task.WithQuota("smtp")).Spec(), is: producer.ErrNoSuchQueue},
		{story: "a reserved quota", says: "reserved", call: create.On("", "x", task.WithQuota("later")).Spec()},
		{story: "two quotas", says: "one quota", call: create.On("", "x", task.WithQuota("a"), task.WithQuota("b")).Spec()},
		{story: "a dotted ID", says: `id "a.b"`, call: create.On("", "x", task.WithID("a.b")).Spec()},
		{story: "an empty ID", says: `id ""`, call: create.On("", "x", task.WithID("")).Spec()},
		{story: "a huge ID", says: "bytes are too many", call: create.On("", "x", task.WithID(strings.Repeat("a", 1<<20))).Spec()},
		{story: "a relative object", says: `object "plone"`, call: create.On("plone", "x").Spec()},
		{story: "an object that climbs", says: `object "/a/../b"`, call: create.On("/a/../b", "x").Spec()},
		{story: "an escaped object", says: `object "/a/%2e%2e/b"`, call: create.On("/a/%2e%2e/b", "x").Spec()},
		{story: "an object with a newline", says: `object "/a\nb"`, call: create.On("/a\nb", "x").Spec()},
		{story: "a long object", says: "513 bytes", call: create.On(task.Object("/"+strings.Repeat("a", 512)), "x").Spec()},
		{story: "a negative delay", says: "delay -1s", call: create.On("", "x", task.Delay(-time.Second)).Spec()},
		{story: "a delay of 292 years", says: "delay", call: create.On("", "x", task.Delay(1<<63-1)).Spec()},
		{story: "the year 9999", says: "ten years", call: create.On("", "x", task.NotBefore(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))).Spec()},
		{story: "no time", says: "not-before", call: create.On("", "x", task.NotBefore(time.Time{})).Spec()},
		{story: "too many attempts", says: "retry attempts", call: create.On("", "x", task.Retry(task.Policy{Attempts: 1 << 30})).Spec()},
		{story: "a keep of a minute", says: "keep 1m0s", call: create.On("", "x", task.Keep(time.Minute)).Spec()},
		{story: "an input that cannot travel", says: "encode", call: task.Define[chan int, int]("a").On("", nil).Spec()},
		{story: "a large input", says: "262144", call: create.On("", strings.Repeat("x", task.MaxEnvelope)).Spec(), is: task.ErrTooLarge},
		{story: "calls nested too deep", says: "nested deeper", call: deep.Spec()},
		{story: "33 callbacks", says: "33 are too many", call: many.Spec()},
		{story: "a callback with a bad name", says: "callback 1", call: create.On("", "x").Then(task.Spec{Task: "a b"}).Spec()},
		{story: "a callback in another queue", says: "callback 1", call: create.On("", "x").Then(add.On("", args{}, task.InQueue("other"))).Spec()},
		{story: "a user with a newline", says: "user id", user: task.User{ID: "alice\nroot"}, call: create.On("", "x").Spec()},
		{story: "a realm without an ID", says: "user id", user: task.User{Realm: "/plone"}, call: create.On("", "x").Spec()},
	} {
		t.Run(row.story, func(t *testing.T) {
			t.Parallel()
			ctx := task.WithUser(t.Context(), row.user)
			job, err := w.client.EnqueueSpec(ctx, row.call)
			switch {
			case err == nil || job != nil:
				t.Fatalf("it was queued: %v, %v", job, err)
			case !strings.HasPrefix(err.Error(), "producer: ") || !strings.Contains(err.Error(), row.says):
				t.Errorf("error is %v, want it to say %s", err, row.says)
			case len(err.Error()) > 600:
				t.Errorf("the error has %d bytes", len(err.Error()))
			case row.is != nil && !errors.Is(err, row.is):
				t.Errorf("error is %v, want %v", err, row.is)
			}
			if _, err := producer.EnqueueAll(ctx, w.client, []task.Call[task.Raw]{task.CallOf[task.Raw](add.On("", args{}).Spec()), task.CallOf[task.Raw](row.call)}); err == nil {
				t.Error("EnqueueAll took it")
			}
			tx := w.client.Begin()
			_, err = tx.EnqueueSpec(ctx, row.call)
			if err == nil {
				err = tx.Commit(ctx)
			}
			if err == nil {
				t.Error("a Tx took it")
			}
		})
	}
	t.Cleanup(func() {
		n, err := w.broker.Count(context.Background(), w.broker.Jobs(), w.broker.QueueFilter("docs"))
		if err != nil || n != 0 {
			t.Errorf("%d jobs were stored, %v", n, err)
		}
	})
}

func TestAHookMayVetoACall(t *testing.T) {
	t.Parallel()
	closed := errors.New("the shop is closed")
	w := start(t, producer.Config{Before: func(ctx context.Context, call task.Spec) error {
		if task.UserFrom(ctx) != alice {
			return fmt.Errorf("the hook got %v", task.UserFrom(ctx))
		}
		if call.Task == "doc.create" {
			return closed
		}
		return nil
	}})
	enqueue(t, w.client, add.On("", args{}))
	if _, err := producer.Enqueue(as(t, alice), w.client, create.On("", "x")); !errors.Is(err, closed) {
		t.Errorf("error is %v", err)
	}
	if _, err := producer.Enqueue(as(t, alice), w.client.Begin(), create.On("", "x")); !errors.Is(err, closed) {
		t.Errorf("error is %v", err)
	}
	if _, err := producer.EnqueueAll(as(t, alice), w.client, []task.Call[string]{create.On("", "x")}); !errors.Is(err, closed) {
		t.Errorf("error is %v", err)
	}
	if n := w.jobs(t, "docs"); n != 0 {
		t.Errorf("%d jobs were queued", n)
	}
}

func TestAFullQueueRefusesMore(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{MaxPending: 2})
	tx := w.client.Begin()
	for range 3 {
		enqueue(t, tx, create.On("", "x"))
	}
	wantErr(t, tx.Commit(t.Context()), producer.ErrQueueFull)
	_, err := producer.EnqueueAll(as(t, alice), w.client, []task.Call[string]{create.On("", "x"), create.On("", "y"), create.On("", "z")})
	wantErr(t, err, producer.ErrQueueFull)
	enqueue(t, w.client, add.On("", args{}))
	enqueue(t, w.client, add.On("", args{}))
	deadline := time.Now().Add(5 * time.Second)
	for err = nil; err == nil && time.Now().Before(deadline); {
		_, err = producer.Enqueue(as(t, alice), w.client, add.On("", args{}))
	}
	wantErr(t, err, producer.ErrQueueFull)
	if !strings.Contains(err.Error(), `"default"`) || !strings.Contains(err.Error(), "MaxPending is 2") {
		t.Errorf("error is %v", err)
	}
}

func TestADeadlineCountsWhileAnotherCallCountsTheQueue(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{MaxPending: 2})
	down, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.server.Shutdown(down); err != nil {
		t.Fatal(err)
	}
	for w.js.Conn().IsConnected() {
		time.Sleep(time.Millisecond)
	}
	patient, giveUp := context.WithTimeout(as(t, alice), time.Minute)
	first := make(chan error, 1)
	go func() {
		_, err := producer.Enqueue(patient, w.client, add.On("", args{}))
		first <- err
	}()
	for asked := 0; asked == 0; time.Sleep(time.Millisecond) { // it waits for the answer to what the connection holds back
		var err error
		if asked, err = w.js.Conn().Buffered(); err != nil {
			t.Fatal(err)
		}
	}
	brief, stop := context.WithTimeout(as(t, alice), 200*time.Millisecond)
	defer stop()
	second := make(chan error, 1)
	go func() {
		job, err := producer.Enqueue(brief, w.client, add.On("", args{}))
		if job != nil {
			err = fmt.Errorf("it has the handle %s: %w", job.ID(), err)
		}
		second <- err
	}()
	select {
	case err := <-second:
		wantErr(t, err, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), `"default"`) || errors.Is(err, producer.ErrUnknown) {
			t.Errorf("error is %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the second call waits longer than its context")
	}
	giveUp()
	wantErr(t, <-first, context.Canceled)
}

func TestWithoutAnAnswerTheHandleKeepsTheID(t *testing.T) {
	t.Parallel()
	srvGone := start(t, producer.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := srvGone.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	job, err := producer.Enqueue(short, srvGone.client, add.On("", args{}))
	wantErr(t, err, producer.ErrUnknown)
	if job == nil || job.ID() == "" || !strings.Contains(err.Error(), job.ID()) {
		t.Errorf("job %v, error %v", job, err)
	}
}

func TestACancelledContextSendsNothing(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	job, err := producer.Enqueue(ctx, w.client, add.On("", args{}))
	if job != nil || !errors.Is(err, context.Canceled) || errors.Is(err, producer.ErrUnknown) {
		t.Errorf("job %v, error %v", job, err)
	}
	if n := w.jobs(t, "default"); n != 0 {
		t.Errorf("%d jobs were queued", n)
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{})
	for story, row := range map[string]struct {
		cfg  producer.Config
		says string
	}{
		"a bad queue":     {producer.Config{Queues: []string{"Mail Out"}}, `queue "Mail Out"`},
		"a bad namespace": {producer.Config{Namespace: "a.b"}, `namespace "a.b"`},
		"a negative max":  {producer.Config{MaxPending: -1}, `max pending "-1"`},
		"who counts":      {producer.Config{MaxPending: 3, Gateway: true, BindOnly: true}, `max pending "3"`},
		"another lease":   {producer.Config{Lease: time.Minute}, "30s"},
		"nothing to bind": {producer.Config{Namespace: "other", BindOnly: true}, `"OTHER_JOBS"`},
		"a missing queue": {producer.Config{Queues: []string{"nowhere"}, BindOnly: true}, `"docs"`},
	} {
		row.cfg.Logger = quiet
		if _, err := producer.New(t.Context(), w.js, row.cfg); err == nil || !strings.HasPrefix(err.Error(), "producer: ") || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: error is %v", story, err)
		}
	}
	var none jetstream.JetStream
	if _, err := producer.New(t.Context(), none, producer.Config{}); err == nil {
		t.Error("a nil JetStream was taken")
	}
}

func TestABoundClientQueuesIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	w := start(t, producer.Config{Namespace: "other"})
	c, err := producer.New(t.Context(), w.js, producer.Config{Namespace: "other", Queues: []string{"docs"}, BindOnly: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, c, create.On("", "x"))
	if n := w.jobs(t, "docs"); n != 1 {
		t.Errorf("%d jobs", n)
	}
	queues, err := c.Queues(t.Context())
	if err != nil || strings.Join(queues, " ") != "default docs" {
		t.Errorf("queues are %v, %v", queues, err)
	}
}
