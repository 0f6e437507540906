package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter A of the original's features: queueing.

// Rows 1, 2: a client is the service and lists the queues by name; an unknown one is an
// error that names those that exist.
func TestAClientListsItsQueues(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs", "mail")
	names, err := s.Client.Queues(s.ctx)
	s.must(err)
	s.same("queues", []string{"default", "docs", "mail"}, names)
	for _, name := range names {
		s.lenIs(name, 0)
	}
	add := task.Define[int, int]("math.add")
	_, err = producer.Enqueue(s.ctx, s.Client, add.On(folder, 1, task.InQueue("doc")))
	s.wantErr(err, producer.ErrNoSuchQueue)
	if !strings.Contains(err.Error(), "docs") || !strings.Contains(err.Error(), "mail") {
		t.Errorf("the error does not name the queues that exist: %v", err)
	}
	_, err = s.Client.Queue("doc").Len(s.ctx)
	s.wantErr(err, producer.ErrNoSuchQueue)
}

// Row 3: queueing returns a handle at once, with no worker anywhere; the job lies in the
// queue default under the quota default.
func TestQueueingGivesAHandleAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type numbers struct{ A, B int }
	add := task.Define[numbers, int]("math.add")
	registry.Handle(s.reg, add, func(_ context.Context, _ task.Object, in numbers) (int, error) { return in.A + in.B, nil })
	job := put(s, add.On(folder, numbers{40, 2}))
	st := s.stateIs(task.StatePending, job.Status)
	s.same("queue and quota", [2]string{"default", "default"}, [2]string{st.Queue, st.Quota})
	s.same("task, object and user", []any{"math.add", folder, editor}, []any{st.Task, st.Object, st.User})
	s.lenIs("default", 1)
	s.Work(s.reg)
	s.same("40 + 2", 42, resultOf(s, job))
}

// Row 4: the object is stored as its path and resolved when the job runs: one that went
// is a failure, another one at the same path is used; a path that can be none is refused
// when queueing.
func TestTheObjectIsResolvedWhenTheJobRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	title := task.Define[task.None, string]("doc.title")
	titles := map[task.Object]string{"/plone/a": "new", "/plone/b": "b"}
	registry.Objects(s.reg, "/plone/{path...}", func(_ context.Context, o task.Object) (*string, error) {
		if text, there := titles[o]; there {
			return &text, nil
		}
		return nil, task.ErrNoSuchObject
	})
	registry.Handle(s.reg, title, func(_ context.Context, doc *string, _ task.None) (string, error) { return *doc, nil })
	titles["/plone/a"] = "old"
	a, b := put(s, title.On("/plone/a", task.None{})), put(s, title.On("/plone/b", task.None{}))
	titles["/plone/a"] = "new"
	delete(titles, "/plone/b")
	for _, bad := range []task.Object{"plone", "/plone/", "/plone/../etc", "/plone//a"} {
		if _, err := producer.Enqueue(s.ctx, s.Client, title.On(bad, task.None{})); err == nil {
			t.Errorf("object %q was queued", bad)
		}
	}
	s.Work(s.reg)
	s.same("the object that is there now", "new", resultOf(s, a))
	s.wantErr(failureOf(s, b), task.ErrNoSuchObject)
}

// Row 5: a task is a name. A worker that does not know it neither loses the job nor burns
// an attempt: it goes to a worker that knows it, and fails when none comes in time.
func TestAWorkerLeavesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lost, late := task.Define[task.None, int]("app.lost"), task.Define[task.None, int]("app.late")
	s.broken("app.other")
	stop := s.WorkWith(s.reg, consumer.Config{UnknownGrace: 300 * time.Millisecond, Logger: quietly})
	s.wantErr(failureOf(s, put(s, lost.On(folder, task.None{}))), task.ErrNoSuchTask)
	stop()
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	job := put(s, late.On(folder, task.None{}))
	for len(s.claims(job.ID())) == 0 {
		s.nap("no worker has looked at the job")
	}
	s.stateIs(task.StatePending, job.Status)
	knows := registry.New()
	registry.Handle(knows, late, func(ctx context.Context, _ task.Object, _ task.None) (int, error) {
		job, _ := task.JobFrom(ctx)
		return job.Attempt, nil
	})
	s.Work(knows)
	s.same("attempt", 1, resultOf(s, job))
}

// Row 6: inputs and results travel with their types; what is too large is refused when
// queueing, and a result that is too large is a failure and no loss.
func TestInputsAndResultsKeepTheirTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type page struct {
		Title string
		Tags  []string
		Sizes map[string]int
		Made  time.Time
		Next  *page
		Body  []byte
	}
	echo := task.Define[page, page]("doc.echo")
	registry.Handle(s.reg, echo, func(_ context.Context, _ task.Object, in page) (page, error) { return in, nil })
	grow := task.Define[int, []byte]("doc.grow")
	registry.Handle(s.reg, grow, func(_ context.Context, _ task.Object, n int) ([]byte, error) { return make([]byte, n), nil })
	s.Work(s.reg)
	in := page{
		Title: "Ünïcode", Tags: []string{"a", ""}, Sizes: map[string]int{"x": -1}, Body: []byte{0, 255},
		Made: time.Date(2010, 5, 1, 12, 0, 0, 1000, time.UTC), Next: &page{Title: "inner"},
	}
	got := resultOf(s, put(s, echo.On(folder, in)))
	got.Made, got.Next.Made, in.Next.Made = got.Made.UTC(), time.Time{}, time.Time{}
	s.same("the input that came back", in, got)
	_, err := producer.Enqueue(s.ctx, s.Client, echo.On(folder, page{Body: make([]byte, task.MaxEnvelope)}))
	s.wantErr(err, task.ErrTooLarge)
	s.wantErr(failureOf(s, put(s, grow.On(folder, task.MaxResult+1))), task.ErrTooLarge)
}

// Row 7: a call is a value without a user and without an ID; whoever queues it is the
// user, and it can be queued again.
func TestACallIsInertUntilItIsQueued(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	who := task.Define[task.None, string]("user.who")
	registry.Handle(s.reg, who, func(ctx context.Context, _ task.Object, _ task.None) (string, error) {
		return task.UserFrom(ctx).ID, nil
	})
	call := who.On(folder, task.None{})
	changed := call.With(task.WithoutQuota())
	s.lenIs("default", 0)
	s.Work(s.reg)
	mine, theirs := put(s, call), putAs(s, task.User{ID: "bob"}, call)
	s.same("users", []string{"editor", "bob"}, []string{resultOf(s, mine), resultOf(s, theirs)})
	if mine.ID() == theirs.ID() {
		t.Error("two jobs of one call have the same ID")
	}
	s.same("the call is what it was", false, call.Spec().Options.NoQuota)
	s.same("the changed one", "", s.stateOf(put(s, changed)).Quota)
}

// Row 8: no quota named is the quota default, which is something else than none.
func TestAJobGoesToTheQueueAndTheQuotaThatItNames(t *testing.T) {
	t.Parallel()
	s := newSite(t, "mail")
	s.must(s.Client.Queue("mail").SetQuota(s.ctx, "smtp", 3))
	send := task.Define[task.None, task.None]("mail.send", task.InQueue("mail"))
	call := send.On(folder, task.None{})
	for want, job := range map[string]*producer.Job[task.None]{
		"mail/default": put(s, call),
		"mail/smtp":    put(s, call.With(task.WithQuota("smtp"))),
		"mail/":        put(s, call.With(task.WithoutQuota())),
		"default/":     put(s, call.With(task.InQueue("default"), task.WithoutQuota())),
	} {
		st := s.stateIs(task.StatePending, job.Status)
		s.same("queue and quota", want, st.Queue+"/"+st.Quota)
	}
	s.lenIs("mail", 3)
	s.lenIs("default", 1)
}

// Rows 9, 10: a job for later counts and is listed, does not run before its time, and
// when that comes takes its place before what is queued afterwards. A time that has
// passed means at once, at the tail.
func TestAJobForLaterTakesItsPlaceWhenItsTimeComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	holding := put(s, hold.On(folder, "hold"))
	late := put(s, work.On(folder, "late", task.Delay(8*time.Second), task.StartWithin(time.Hour)))
	s.stateIs(task.StatePending, holding.Status)
	s.stateIs(task.StateScheduled, late.Status)
	s.lenIs("default", 2)
	s.Work(s.reg)
	arrives(s, hold.in)
	put(s, work.On(folder, "past", task.NotBefore(time.Now().Add(-time.Hour))))
	s.lenIs("default", 2)
	var listed []task.State
	for st, err := range s.Client.Queue("default").Jobs(s.ctx, producer.JobFilter{}) {
		s.must(err)
		listed = append(listed, st.State)
	}
	s.same("states of the jobs listed", []task.State{task.StateActive, task.StatePending, task.StateScheduled}, listed)
	due := s.stateOf(late).NotBefore
	for s.quota("default").Pending != 2 {
		s.nap("the job does not come into its lane")
	}
	put(s, work.On(folder, "young"))
	hold.open()
	s.drain()
	s.same("order", []string{"past", "late", "young"}, ran.all())
	if o := outcomeOf(s, late); due.IsZero() || o.Started.Before(due) {
		t.Errorf("it started %v, not before %v", o.Started, due)
	}
}

// Row 11: a job that could not start in time fails; its callbacks run, and a job that has
// started is left alone.
func TestAJobThatCannotStartInTimeFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	alert := task.Define[task.Failure, task.None]("mail.alert")
	alerts := make(chan task.Failure, 1)
	registry.Handle(s.reg, alert, func(_ context.Context, _ task.Object, f task.Failure) (task.None, error) {
		alerts <- f
		return task.None{}, nil
	})
	s.Work(s.reg)
	holding := put(s, hold.On(folder, "hold", task.StartWithin(5*time.Second)))
	arrives(s, hold.in)
	missed := put(s, work.On(folder, "missed", task.StartWithin(50*time.Millisecond)).OnFailure(alert))
	free := put(s, work.On(folder, "no limit"))
	<-time.After(5100 * time.Millisecond) // both deadlines are over
	hold.open()
	s.same("a job that had started", "hold", resultOf(s, holding))
	s.wantErr(failureOf(s, missed), task.ErrExpired)
	s.same("the failure that the callback got", "expired", arrives(s, alerts).Code)
	resultOf(s, free)
	s.same("what ran", []string{"no limit"}, ran.all())
}

// Rows 12, 13: what a Tx queues is there for the Tx alone until it commits, and gone when
// it aborts; callbacks and batches of one commit belong to it.
func TestATransactionIsSeenByItselfAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	s.Work(s.reg)
	gone := s.Client.Begin()
	dropped, err := producer.Enqueue(s.ctx, gone, work.On(folder, "aborted"))
	s.must(err)
	gone.Abort()
	_, err = dropped.Status(s.ctx)
	s.wantErr(err, producer.ErrAborted)

	tx := s.Client.Begin()
	one, err := producer.Enqueue(s.ctx, tx, work.On(folder, "one"))
	s.must(err)
	both, err := producer.Enqueue(s.ctx, tx, batch.Serial(work.On(folder, "two"), work.On(folder, "three")))
	s.must(err)
	after, err := one.OnSuccess(s.ctx, work)
	s.must(err)
	n, err := tx.Queue("default").Len(s.ctx)
	s.must(err)
	s.same("jobs that the Tx sees", 2, n)
	s.stateIs(task.StatePending, one.Status)
	s.lenIs("default", 0)
	_, err = s.Client.Status(s.ctx, one.ID())
	s.wantErr(err, producer.ErrNoSuchJob)
	_, err = one.Wait(s.ctx)
	s.wantErr(err, producer.ErrStaged)
	s.must(tx.Commit(s.ctx))
	s.same("first", "one", resultOf(s, one))
	resultOf(s, both)
	s.becomes(task.StateCompleted, after.Status)
	s.same("the callback is part of the job", one.ID()+".cb.1", after.ID())
	got := ran.all()
	if slices.Index(got, "two") > slices.Index(got, "three") {
		t.Errorf("the batch ran as %v", got)
	}
	slices.Sort(got)
	s.same("what ran", []string{"one", "one", "three", "two"}, got)
}

// Row 14: a commit that cannot reach the server is an error, and nothing is queued.
func TestACommitWithoutAServerIsAnError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	work := task.Define[int, int]("app.work")
	tx := s.Client.Begin()
	for i := range 3 {
		_, err := producer.Enqueue(s.ctx, tx, work.On(folder, i))
		s.must(err)
	}
	s.must(s.Server.Shutdown(s.ctx))
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if err := tx.Commit(ctx); err == nil {
		t.Error("a commit without a server succeeded")
	}
	job, err := producer.Enqueue(ctx, s.Client, work.On(folder, 1))
	if err == nil || job != nil && !errors.Is(err, producer.ErrUnknown) {
		t.Errorf("queueing without a server gave %v, %v", job, err)
	}
}

// Row 15: what a job queues is published if and only if the job succeeds, as the same
// user; also with a larger context than the job's.
func TestAJobQueuesOnlyWhatItSucceedsWith(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	child := task.Define[string, string]("app.child")
	registry.Handle(s.reg, child, func(ctx context.Context, _ task.Object, in string) (string, error) {
		job, _ := task.JobFrom(ctx)
		return in + " of " + job.User.ID, nil
	})
	parent := task.Define[bool, string]("app.parent")
	var tries atomic.Int32
	registry.Handle(s.reg, parent, func(ctx context.Context, _ task.Object, ok bool) (string, error) {
		other := task.WithUser(ctx, task.User{ID: "somebody-else"})
		job, err := producer.Enqueue(other, producer.Within(ctx), child.On(folder, fmt.Sprint("child ", tries.Add(1))))
		if err != nil {
			return "", err
		}
		if _, err := s.Client.Status(ctx, job.ID()); !errors.Is(err, producer.ErrNoSuchJob) {
			return "", fmt.Errorf("the job is there before its parent has succeeded: %w", err)
		}
		switch {
		case tries.Load() == 1:
			return "", task.Retryable(errors.New("once more"))
		case !ok:
			return "", errors.New("no")
		}
		return job.ID(), nil
	})
	s.Work(s.reg)
	id := resultOf(s, put(s, parent.On(folder, true)))
	failureOf(s, put(s, parent.On(folder, false)))
	s.drain()
	found := producer.Find[string](s.Client, id)
	s.same("the child's result", "child 2 of editor", resultOf(s, found))
	children := 0
	for o, err := range s.Client.Outcomes(s.ctx, producer.OutcomeFilter{Task: "app.child"}) {
		s.must(err)
		children++
		if o.ID != id || o.Parent == "" {
			t.Errorf("outcome of child %s with parent %q, want %s and its parent", o.ID, o.Parent, id)
		}
	}
	s.same("children that ran", 1, children)
}
