package hooks_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/task"
)

func TestEachEndGoesToItsHandlerInTheOrderRecorded(t *testing.T) {
	t.Parallel()
	for _, durable := range []string{"", "mailer"} {
		o, d := newOffice(t), newDesk()
		o.subscribe(t, hooks.Handlers{Success: d.note("+"), Failure: d.note("-"), Cancelled: d.note("x")}, hooks.Config{Durable: durable})
		o.record(t, ended("J1", task.Succeeded))
		o.record(t, ended("J2", task.Failed))
		o.record(t, ended("J3", task.Cancelled))
		o.succeed(t, numbered(4, 60)...)
		want := []string{"+J1", "-J2", "xJ3"}
		for _, id := range numbered(4, 60) {
			want = append(want, "+"+id)
		}
		d.holds(t, want...)
		d.isEmpty(t)
	}
}

func TestAHandlerGetsTheWholeOutcome(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	got := make(chan task.Outcome, 1)
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "kept")
	sub, err := hooks.Subscribe(ctx, o.js, hooks.Handlers{Failure: func(ctx context.Context, o task.Outcome) error {
		if ctx.Value(key{}) != "kept" {
			t.Error("the context lost its values")
		}
		got <- o
		return nil
	}}, hooks.Config{})
	must(t, err)
	t.Cleanup(sub.Stop)
	r := ended("J", task.Failed)
	o.record(t, r)
	r.Queue, r.User = "default", alice
	if diff := cmp.Diff(r.Outcome, next(t, got)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestMembersCallbacksAndClaimsAreNotHandled(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	o.subscribe(t, hooks.Handlers{Success: d.note(""), Failure: d.note("-")}, hooks.Config{Durable: "mailer"})
	o.succeed(t, "J.1", "J.2.1", "J.cb", "J.cb.1")
	claim := task.Claim{ID: "C", Worker: "w", State: task.ClaimRunning}
	_, err := o.js.Publish(t.Context(), o.b.Names.Outcome("default", "claimed", alice.Owner(), "C"), claim.Encode())
	must(t, err)
	o.succeed(t, "J")
	d.holds(t, "J")
	d.isEmpty(t)
}

func TestABatchComesWithTheOutcomesOfItsMembers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	got := make(chan task.Outcome, 1)
	o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, o task.Outcome) error {
		got <- o
		return nil
	}}, hooks.Config{Durable: "mailer"})
	o.record(t, ended("B.1", task.Failed))
	o.record(t, ended("B.2", task.Succeeded))
	outer := ended("B", task.Succeeded)
	outer.Task, outer.Mode, outer.Members = task.SerialBatch, task.Serial, []string{"B.1", "B.2"}
	o.record(t, outer)

	results, err := task.Result[batch.Results](next(t, got))
	must(t, err)
	var ends []string
	for _, r := range results {
		ends = append(ends, r.ID+" "+string(r.End))
	}
	if diff := cmp.Diff([]string{"B.1 failed", "B.2 succeeded"}, ends); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func TestOneQueueIsHeardAlone(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer", Queue: "docs"})
	o.succeed(t, "J1")
	docs := ended("J2", task.Succeeded)
	docs.Queue = "docs"
	o.record(t, docs)
	d.holds(t, "J2")
	d.isEmpty(t)
}

func TestADurableStartsAtNowAndMissesNothingWhileAway(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	cfg := hooks.Config{Durable: "mailer"}
	h := hooks.Handlers{Success: d.note("")}
	o.succeed(t, "J1")
	sub := o.subscribe(t, h, cfg)
	o.succeed(t, "J2")
	d.holds(t, "J2")
	sub.Stop()
	sub.Stop()
	o.succeed(t, "J3", "J4")
	o.subscribe(t, h, cfg)
	d.holds(t, "J3", "J4")
	o.subscribe(t, h, hooks.Config{Durable: "other"})
	o.succeed(t, "J5")
	d.holds(t, "J5", "J5")
	d.isEmpty(t)
}

func TestWithoutADurableNameWhatWasBetweenIsMissed(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	h := hooks.Handlers{Success: d.note("")}
	sub := o.subscribe(t, h, hooks.Config{})
	o.succeed(t, "J1")
	d.holds(t, "J1")
	sub.Stop()
	if names := consumers(t, o); len(names) != 0 {
		t.Errorf("Stop left the consumers %q", names)
	}
	o.succeed(t, "J2")
	o.subscribe(t, h, hooks.Config{})
	o.succeed(t, "J3")
	d.holds(t, "J3")
	d.isEmpty(t)
}

func consumers(t testing.TB, o *office) (names []string) {
	t.Helper()
	s, err := o.js.Stream(t.Context(), o.b.Outcomes())
	must(t, err)
	list := s.ConsumerNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	must(t, list.Err())
	return names
}

func TestADurableSharedByTwoIsHandledOnceAndNeverAtOnce(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	busy := make(chan struct{}, 1)
	for range 2 {
		o.subscribe(t, hooks.Handlers{Success: func(_ context.Context, out task.Outcome) error {
			select {
			case busy <- struct{}{}:
			default:
				t.Error("two handlers of one name run at once")
			}
			d <- out.ID
			<-busy
			return nil
		}}, hooks.Config{Durable: "mailer"})
	}
	o.succeed(t, numbered(1, 50)...)
	d.holds(t, numbered(1, 50)...)
	d.isEmpty(t)
}

func TestAnEndWithoutAHandlerIsHandledAllTheSame(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	sub := o.subscribe(t, hooks.Handlers{Success: d.note("+")}, hooks.Config{Durable: "mailer"})
	o.record(t, ended("J1", task.Failed))
	o.succeed(t, "J2")
	d.holds(t, "+J2")
	sub.Stop()
	o.record(t, ended("J3", task.Failed))
	o.subscribe(t, hooks.Handlers{Success: d.note("+"), Failure: d.note("-")}, hooks.Config{Durable: "mailer"})
	d.holds(t, "-J3")
	d.isEmpty(t)
}

func TestWhatIsWrongWithASubscriptionIsSaid(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	some := hooks.Handlers{Success: d.note("")}
	o.subscribe(t, some, hooks.Config{Durable: "mailer"})
	_, err := o.js.CreateConsumer(t.Context(), o.b.Outcomes(), jetstream.ConsumerConfig{Durable: "quick", FilterSubjects: []string{
		"natsasync.outcome.*.succeeded.*.*", "natsasync.outcome.*.failed.*.*", "natsasync.outcome.*.cancelled.*.*",
	}, AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	listen := hooks.Handlers{Started: func(context.Context, task.Event) {}}
	for _, c := range []struct {
		h    hooks.Handlers
		cfg  hooks.Config
		says []string
	}{
		{hooks.Handlers{}, hooks.Config{}, []string{"hooks: handlers", "Success"}},
		{some, hooks.Config{Durable: "my mailer"}, []string{`hooks: durable "my mailer"`, `try "my-mailer"`}},
		{some, hooks.Config{Durable: "a.b"}, []string{`durable "a.b"`}},
		{some, hooks.Config{Queue: "mail.out"}, []string{`hooks: queue "mail.out"`, `try "mail-out"`}},
		{some, hooks.Config{Namespace: "A B"}, []string{`namespace "A B"`}},
		{some, hooks.Config{BindOnly: true}, []string{`durable ""`, "BindOnly"}},
		{some, hooks.Config{BindOnly: true, Durable: "absent"}, []string{`durable "absent"`, "not there", "BindOnly"}},
		{some, hooks.Config{Durable: "mailer", Queue: "docs"}, []string{`durable "mailer"`, "filters", "choose another name"}},
		{some, hooks.Config{Durable: "quick"}, []string{`durable "quick"`, "max ack pending 1000 and not 1"}},
		{listen, hooks.Config{Durable: "mailer"}, []string{`durable "mailer"`, "leave Durable out"}},
		{some, hooks.Config{Namespace: "elsewhere", BindOnly: true, Durable: "mailer"}, []string{"ELSEWHERE_JOBS", "not there"}},
	} {
		sub, err := hooks.Subscribe(t.Context(), o.js, c.h, c.cfg)
		if err == nil {
			sub.Stop()
			t.Errorf("%+v was taken", c.cfg)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%+v: %q does not mention %q", c.cfg, err, part)
			}
		}
	}
	if _, err := hooks.Subscribe(t.Context(), nil, some, hooks.Config{}); err == nil || !strings.Contains(err.Error(), "jetstream.New") {
		t.Errorf("no JetStream: error is %v", err)
	}
}

func TestBindOnlyUsesWhatIsThere(t *testing.T) {
	t.Parallel()
	o, d := newOffice(t), newDesk()
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer"}).Stop()
	o.succeed(t, "J1")
	o.subscribe(t, hooks.Handlers{Success: d.note("")}, hooks.Config{Durable: "mailer", BindOnly: true})
	d.holds(t, "J1")
}

func TestEventsOfWholeJobsAreHeardInOrder(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	got := make(chan task.Event, 100)
	var log journal
	hear := func(_ context.Context, e task.Event) { got <- e }
	sub := o.subscribe(t, hooks.Handlers{
		Started:  hear,
		Progress: func(context.Context, task.Event) { panic("ouch") },
		Retrying: hear,
	}, hooks.Config{Queue: "docs", Logger: log.logger()})

	say := func(queue, kind, id string, data []byte) {
		must(t, o.b.Conn().PublishMsg(&nats.Msg{Subject: o.b.Names.Event(queue, kind, alice.Owner(), id), Data: data}))
	}
	var want []task.Event
	for i, kind := range []string{task.EventStarted, task.EventRetrying, task.EventStarted} {
		e := task.Event{Kind: kind, Queue: "docs", Owner: alice.Owner(), ID: "J", Task: "doc.create", Worker: "w", Attempt: i + 1, Text: "why"}
		data := e.Encode()
		say("docs", kind, "J.1", data)
		say("default", kind, "J", data)
		say("docs", task.EventProgress, "J", data)
		say("docs", kind, "J", []byte{0xc1})
		say("docs", kind, "J", data)
		want = append(want, e)
	}
	var heard []task.Event
	for range want {
		e := next(t, got)
		e.At = want[0].At
		heard = append(heard, e)
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	sub.Stop()
	if lines := log.lines("ERROR", "kind=progress", "ouch"); len(lines) == 0 {
		t.Error("no line tells of the handler that panicked")
	}
	if len(got) > 0 {
		t.Errorf("%+v was heard too", <-got)
	}
	if names := consumers(t, o); slices.Contains(names, "docs") || len(names) > 0 {
		t.Errorf("listening to events made the consumers %q", names)
	}
}
