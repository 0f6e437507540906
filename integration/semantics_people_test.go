package integration_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter G of the original's features: users.

// rights is a directory of users that can change while jobs wait.
type rights struct {
	mu sync.Mutex
	of map[string]map[string]bool // by user ID, then permission
}

func (r *rights) set(id string, permissions ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]bool{}
	for _, p := range permissions {
		all[p] = true
	}
	r.of[id] = all
}

func (r *rights) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, id)
}

func (r *rights) lookUp(_ context.Context, u task.User) (registry.Principal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.Anonymous() {
		return nil, nil
	}
	p, there := r.of[u.ID]
	if !there {
		return nil, task.ErrNoSuchUser
	}
	return person(p), nil
}

type person map[string]bool

func (p person) Can(_ context.Context, permission string, _ task.Object) error {
	if p[permission] {
		return nil
	}
	return task.ErrUnauthorized
}

// guarded is a task that needs "Add content" before it runs and asks for "Submit" inside.
func guarded(s *site, r *rights) task.Definition[bool, string] {
	registry.Users(s.reg, r.lookUp)
	create := task.Define[bool, string]("doc.create")
	registry.Handle(s.reg, create, func(ctx context.Context, o task.Object, submit bool) (string, error) {
		if submit {
			if err := registry.Check(ctx, "Submit", o); err != nil {
				return "", err
			}
		}
		return task.UserFrom(ctx).ID, nil
	}, registry.Require("Add content"))
	return create
}

// Rows 93, 95: a job runs as whoever queued it, with the rights of the time when it runs;
// a right that is missing, before or in the function, is an ordinary failure.
func TestAJobRunsAsWhoeverQueuedIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := &rights{of: map[string]map[string]bool{}}
	create := guarded(s, r)
	r.set("editor", "Add content")
	r.set("reader")
	s.Work(s.reg)
	s.same("the user", "editor", resultOf(s, put(s, create.On(folder, false))))
	s.wantErr(failureOf(s, putAs(s, task.User{Realm: editor.Realm, ID: "reader"}, create.On(folder, false))), task.ErrUnauthorized)
	s.wantErr(failureOf(s, put(s, create.On(folder, true))), task.ErrUnauthorized)
}

// Row 94: who is nobody has no rights, whatever the directory says; a function that needs
// none runs for nobody.
func TestNobodyHasNoRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := &rights{of: map[string]map[string]bool{}}
	r.set("", "Add content", "Submit")
	create := guarded(s, r)
	who := task.Define[task.None, bool]("user.who")
	registry.Handle(s.reg, who, func(ctx context.Context, _ task.Object, _ task.None) (bool, error) {
		return task.UserFrom(ctx).Anonymous() && registry.Check(ctx, "View", folder) != nil, nil
	})
	s.Work(s.reg)
	s.wantErr(failureOf(s, putAs(s, task.User{}, create.On(folder, false))), task.ErrUnauthorized)
	s.same("anonymous, and without rights", true, resultOf(s, putAs(s, task.User{}, who.On(folder, task.None{}))))
}

// Row 96: a job that names another user than its subject does is put aside: it never runs
// and blocks nobody.
func TestAForgedUserIsPutAside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	forged, err := work.On(folder, "forged").Spec().Seal(task.Sealing{ID: "forged", User: editor, Now: time.Now()})
	s.must(err)
	mallory := task.User{Realm: editor.Realm, ID: "mallory"}
	b := s.broker()
	_, err = b.Publish(s.ctx, &nats.Msg{Subject: b.Job("default", "default", mallory.Owner(), "forged"), Data: forged.Encode()})
	s.must(err)
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	resultOf(s, put(s, work.On(folder, "honest")))
	s.drain()
	s.same("what ran", []string{"honest"}, ran.all())
	var aside [][]byte
	for m, err := range b.Range(s.ctx, b.Rejected(), "natsasync.rejected.>", 0) {
		s.must(err)
		aside = append(aside, m.Data)
	}
	s.same("what was put aside", [][]byte{forged.Encode()}, aside)
}

// Row 98: two sites share a server without seeing each other: a namespace is a site.
func TestTwoSitesShareAServer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other, err := producer.New(s.ctx, s.JS, producer.Config{Namespace: "intranet", Queues: []string{"docs"}, Lease: embeddedtest.Lease, Logger: quietly})
	s.must(err)
	var ran notes
	work := s.written("app.work", &ran)
	theirs := registry.New()
	registry.Handle(theirs, work, func(context.Context, task.Object, string) (string, error) { return "intranet", nil })
	s.Work(s.reg)
	s.WorkWith(theirs, consumer.Config{Namespace: "intranet"})
	here := put(s, work.On(folder, "here", task.WithID("same")))
	there, err := producer.Enqueue(s.ctx, other, work.On(folder, "there", task.WithID("same")))
	s.must(err)
	s.same("results", []string{"here", "intranet"}, []string{resultOf(s, here), resultOf(s, there)})
	_, err = producer.Enqueue(s.ctx, s.Client, work.On(folder, "x", task.InQueue("docs")))
	s.wantErr(err, producer.ErrNoSuchQueue)
	workers, err := other.Workers(s.ctx)
	s.must(err)
	s.same("workers of the other site", 1, len(workers))
}

// Chapter H of the original's features: operating and testing.

// logBook is a log that can be read.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Row 100: the log says what a worker does, at a level that fits, with the job's names,
// and never with an input or a result.
func TestTheLogNamesJobsAndNeverTheirInputs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	flaky := task.Define[string, string]("app.flaky", task.Retry(task.Policy{Attempts: 2}))
	registry.Handle(s.reg, flaky, func(ctx context.Context, _ task.Object, in string) (string, error) {
		if job, _ := task.JobFrom(ctx); job.Attempt == 1 {
			return "", task.Fail("not_yet", "later")
		}
		return "result:" + in, nil
	})
	var log logBook
	stop := s.WorkWith(s.reg, consumer.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	job := put(s, flaky.On(folder, "a secret"))
	resultOf(s, job)
	stop()
	for _, want := range []string{
		`level=INFO msg="worker starts"`, `level=INFO msg="worker stopped"`, `level=WARN msg="attempt failed, trying again"`,
		"id=" + job.ID(), "task=app.flaky", "attempt=1", "code=not_yet",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %s:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has an input or a result:\n%s", log.String())
	}
}

// Rows 101, 102: an operator sees what waits, what comes next, what runs where, what has
// ended and how, by task, user, object and end, and can queue again what failed.
func TestAnOperatorSeesWhatGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken, hold := s.written("app.work", &ran), s.broken("app.broken"), s.door("app.hold")
	s.WorkWith(s.reg, consumer.Config{Name: "me"})
	resultOf(s, put(s, work.On("/plone/a", "1")))
	bad := put(s, broken.On("/plone/b", "no"))
	failureOf(s, bad)
	running := put(s, hold.On("/plone/a", "running"))
	arrives(s, hold.in)
	next := put(s, work.On("/plone/a", "next"))
	putAs(s, task.User{ID: "bob"}, work.On("/plone/c", "bob's"))
	s.same("who runs it", "me", outcomeOf(s, bad).Worker)
	list := func(f producer.JobFilter) (ids []string) {
		t.Helper()
		for st, err := range s.Client.Queue("default").Jobs(s.ctx, f) {
			s.must(err)
			ids = append(ids, st.ID)
		}
		return ids
	}
	s.same("active", []string{running.ID()}, list(producer.JobFilter{State: task.StateActive}))
	s.same("next pending", []string{next.ID()}, list(producer.JobFilter{State: task.StatePending, Limit: 1}))
	s.same("of a user and a task", 1, len(list(producer.JobFilter{User: &task.User{ID: "bob"}, Task: "app.work"})))
	s.same("on an object", []string{running.ID(), next.ID()}, list(producer.JobFilter{Object: "/plone/a"}))
	ended := func(f producer.OutcomeFilter) (ids []string) {
		t.Helper()
		for o, err := range s.Client.Outcomes(s.ctx, f) {
			s.must(err)
			ids = append(ids, o.ID)
		}
		return ids
	}
	s.same("failed", []string{bad.ID()}, ended(producer.OutcomeFilter{End: task.Failed, Queue: "default"}))
	s.same("on an object", 1, len(ended(producer.OutcomeFilter{Object: "/plone/a", User: &editor})))
	again, err := s.Client.Retry(s.ctx, bad.ID())
	s.must(err)
	s.same("what it was", bad.ID(), s.stateOf(again).Parent)
	hold.open()
	s.drain()
	s.same("all that failed", 2, len(ended(producer.OutcomeFilter{Task: "app.broken"})))
}

// Row 105: Wait gives the value or the failure once the job is completed; a caller that
// cannot wait so long gets an error that is no failure.
func TestWaitGivesTheValueOrTheFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hold, broken := s.door("app.hold"), s.broken("app.broken")
	s.Work(s.reg)
	job := put(s, hold.On(folder, "x"))
	arrives(s, hold.in)
	short, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	_, err := job.Wait(short)
	s.wantErr(err, context.DeadlineExceeded)
	if _, is := errors.AsType[*task.Failure](err); is {
		t.Errorf("an error of waiting is a failure: %v", err)
	}
	hold.open()
	s.same("value", "x", resultOf(s, job))
	s.same("again", "x", resultOf(s, job))
	s.same("failure", "no", failureOf(s, put(s, broken.On(folder, "no"))).Message)
	_, err = producer.Find[string](s.Client, "nobody").Wait(s.ctx)
	s.wantErr(err, producer.ErrNoSuchJob)
}

// Rows 106, 107: a test waits for a start, a progress, and until nothing is left; each has
// a world of its own, with leases short enough to see a worker die.
func TestATestCanWaitForEachStep(t *testing.T) {
	t.Parallel()
	s, other := newSite(t), newSite(t)
	starts, steps := make(chan task.Event, 10), make(chan task.Event, 10)
	s.hear(hooks.Handlers{
		Started:  func(_ context.Context, e task.Event) { starts <- e },
		Progress: func(_ context.Context, e task.Event) { steps <- e },
	}, hooks.Config{})
	work := task.Define[task.None, task.None]("app.work")
	on := make(chan struct{})
	registry.Handle(s.reg, work, func(ctx context.Context, _ task.Object, _ task.None) (task.None, error) {
		task.Progress(ctx, 0.5, "half")
		<-on
		return task.None{}, nil
	})
	s.Work(s.reg)
	job := put(s, work.On(folder, task.None{}))
	s.same("started", job.ID(), arrives(s, starts).ID)
	e := arrives(s, steps)
	s.same("progress", []any{job.ID(), 0.5, "half"}, []any{e.ID, e.Progress, e.Text})
	short, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	if s.Drain(short) == nil {
		t.Error("nothing is left while a job runs")
	}
	close(on)
	s.drain()
	s.same("end", task.Succeeded, outcomeOf(s, job).End)
	_, err := other.Client.Status(s.ctx, job.ID())
	other.wantErr(err, producer.ErrNoSuchJob)
}

// Row 111: every end is kept for eight days, also of jobs that never ran; Keep shortens
// that for successes alone.
func TestEveryEndIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, broken := s.written("app.work", &ran), s.broken("app.broken")
	keep := task.Keep(time.Hour)
	expired := put(s, work.On(folder, "expired", task.StartWithin(time.Millisecond)))
	cancelled := put(s, work.On(folder, "cancelled"))
	s.must(cancelled.Cancel(s.ctx))
	interrupted := put(s, work.On(folder, "interrupted"))
	s.interrupted(interrupted.ID(), 10)
	good, bad := put(s, work.On(folder, "good", keep)), put(s, broken.On(folder, "bad", keep))
	<-time.After(5 * time.Millisecond) // the deadline is over
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	s.drain()
	b := s.broker()
	info, err := s.JS.Stream(s.ctx, b.Outcomes())
	s.must(err)
	s.same("how long outcomes are kept", 8*24*time.Hour, info.CachedInfo().Config.MaxAge)
	ends := map[string]string{}
	for o, err := range s.Client.Outcomes(s.ctx, producer.OutcomeFilter{}) {
		s.must(err)
		ends[o.ID] = string(o.End)
		if o.Failure != nil {
			ends[o.ID] = o.Failure.Code
		}
	}
	s.same("ends", map[string]string{expired.ID(): "expired", cancelled.ID(): "cancelled", interrupted.ID(): "interrupted", good.ID(): "succeeded", bad.ID(): "error"}, ends)
	for job, want := range map[*producer.Job[string]]string{good: "3600s", bad: ""} {
		kind := string(outcomeOf(s, job).End)
		m, err := info.GetLastMsgForSubject(s.ctx, b.Outcome("default", kind, editor.Owner(), job.ID()))
		s.must(err)
		s.same("time to live of "+kind, want, m.Header.Get(stream.HeaderTTL))
	}
}
