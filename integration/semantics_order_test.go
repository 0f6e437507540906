package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter E of the original's features: order, quotas, slots.

// Rows 57, 58: every queue has the quota default of size 1, under which jobs start in the
// order in which they were queued, over several workers and over the death of one: the
// job that it ran keeps its place.
func TestJobsRunInOrderOverTheDeathOfAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	for _, queue := range []string{"default", "docs"} {
		q, err := s.Client.Queue(queue).Quotas(s.ctx)
		s.must(err)
		s.same("quotas of a new queue", []producer.Quota{{Name: "default", Size: 1}}, q)
	}
	var ran notes
	var tries atomic.Int32
	work := s.written("app.work", &ran)
	third := task.Define[string, string]("app.third")
	in := make(chan struct{}, 2)
	registry.Handle(s.reg, third, func(ctx context.Context, _ task.Object, what string) (string, error) {
		ran.add(what)
		in <- struct{}{}
		if tries.Add(1) == 1 {
			<-ctx.Done()
		}
		return what, ctx.Err()
	})
	worker := s.doomed(s.reg, consumer.Config{})
	var want []string
	for i := range 10 {
		what := fmt.Sprint(i)
		if i == 3 {
			put(s, third.On(folder, what))
			want = append(want, what, what)
			continue
		}
		put(s, work.On(folder, what))
		want = append(want, what)
	}
	arrives(s, in)
	s.Work(s.reg)
	s.Work(s.reg)
	worker.kill()
	s.drain()
	s.same("order", want, ran.all())
}

// Row 59: quotas are made, resized and removed while jobs run, and hold over all workers.
func TestAQuotaIsALimitOverAllWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	q := s.Client.Queue("default")
	s.must(q.SetQuota(s.ctx, "smtp", 2))
	hold := s.door("app.hold", task.WithQuota("smtp"))
	s.WorkWith(s.reg, consumer.Config{Concurrency: 8})
	s.WorkWith(s.reg, consumer.Config{Concurrency: 8})
	for i := range 7 {
		put(s, hold.On(folder, fmt.Sprint(i)))
	}
	arrives(s, hold.in)
	arrives(s, hold.in)
	s.same("at size 2", producer.Quota{Name: "smtp", Size: 2, Active: 2, Pending: 5}, s.quota("smtp"))
	s.must(q.SetQuota(s.ctx, "smtp", 4))
	arrives(s, hold.in)
	arrives(s, hold.in)
	s.same("at size 4", producer.Quota{Name: "smtp", Size: 4, Active: 4, Pending: 3}, s.quota("smtp"))
	s.must(q.SetQuota(s.ctx, "smtp", 1))
	hold.open()
	for s.quota("smtp").Active != 3 {
		s.nap("a job has ended and still holds the quota")
	}
	s.same("a smaller size stops nothing and starts nothing", producer.Quota{Name: "smtp", Size: 1, Active: 3, Pending: 3}, s.quota("smtp"))
	if err := q.SetQuota(s.ctx, "smtp", 0); err == nil {
		t.Error("a quota that jobs hold was removed")
	}
	for range 6 {
		hold.open()
	}
	s.drain()
	s.must(q.SetQuota(s.ctx, "smtp", 0))
	s.must(q.SetQuota(s.ctx, "default", 3))
	all, err := q.Quotas(s.ctx)
	s.must(err)
	s.same("in the end", []producer.Quota{{Name: "default", Size: 3}}, all)
}

// Rows 60, 61: a job holds one quota: two are an error when queueing, and so is one that
// nobody made; the error names those that exist.
func TestAQuotaThatCannotBeHeldIsAnErrorWhenQueueing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must(s.Client.Queue("default").SetQuota(s.ctx, "smtp", 2))
	work := task.Define[task.None, task.None]("app.work")
	_, err := producer.Enqueue(s.ctx, s.Client, work.On(folder, task.None{}, task.WithQuota("smpt")))
	s.wantErr(err, producer.ErrNoSuchQuota)
	if !strings.Contains(err.Error(), "smtp") {
		t.Errorf("the error does not name the quota that exists: %v", err)
	}
	tx := s.Client.Begin()
	_, err = producer.Enqueue(s.ctx, tx, work.On(folder, task.None{}, task.WithQuota("smpt")))
	s.wantErr(err, producer.ErrNoSuchQuota)
	_, err = producer.Enqueue(s.ctx, s.Client, work.On(folder, task.None{}, task.WithQuota("smtp"), task.WithQuota("default")))
	if err == nil || !strings.Contains(err.Error(), "one quota") {
		t.Errorf("two quotas: %v", err)
	}
	s.lenIs("default", 0)
}

// Row 62: a job that waits for its quota blocks none behind it of another quota, or of
// none.
func TestAFullQuotaBlocksNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	s.must(s.Client.Queue("default").SetQuota(s.ctx, "smtp", 1))
	var ran notes
	work, hold := s.written("app.work", &ran), s.door("app.hold")
	s.Work(s.reg, "default", "docs")
	first := put(s, hold.On(folder, "hold"))
	blocked := put(s, work.On(folder, "blocked"))
	arrives(s, hold.in)
	for _, o := range []task.Option{task.WithQuota("smtp"), task.WithoutQuota(), task.InQueue("docs")} {
		resultOf(s, put(s, work.On(folder, "free", o)))
	}
	s.stateIs(task.StatePending, blocked.Status)
	hold.open()
	resultOf(s, first)
	resultOf(s, blocked)
	s.same("order", []string{"free", "free", "free", "blocked"}, ran.all())
}

// Row 63: the lane is free once the outcome is recorded, and not before: the next job
// finds it, though the callbacks of the one before still run.
func TestTheNextJobFindsTheOutcomeOfTheOneBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work, after := s.written("app.work", &ran), s.door("app.after")
	look := task.Define[string, task.State]("app.look")
	registry.Handle(s.reg, look, func(ctx context.Context, _ task.Object, id string) (task.State, error) {
		st, err := s.Client.Status(ctx, id)
		return st.State, err
	})
	s.Work(s.reg)
	for range 20 {
		before := put(s, work.On(folder, "x"))
		s.same("the job before", task.StateCompleted, resultOf(s, put(s, look.On(folder, before.ID()))))
	}
	before := put(s, work.On(folder, "x").OnSuccess(after.Definition))
	s.same("with callbacks", task.StateCallbacks, resultOf(s, put(s, look.On(folder, before.ID()))))
	after.open()
	resultOf(s, before)
}

// Row 65: all slots of a worker can run jobs of one lane: none is kept for lanes that idle.
func TestALaneCanHaveAllSlotsOfAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hold := s.door("app.hold", task.WithoutQuota())
	const slots = 6
	s.WorkWith(s.reg, consumer.Config{Concurrency: slots})
	for i := range slots {
		put(s, hold.On(folder, fmt.Sprint(i)))
	}
	for range slots {
		arrives(s, hold.in)
	}
	for range slots {
		hold.open()
	}
	s.drain()
}

// Row 65: a worker runs as many jobs at once as it has slots, over all its queues.
func TestAWorkerRunsAsManyJobsAsItHasSlots(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	hold := s.door("app.hold", task.WithoutQuota())
	s.WorkWith(s.reg, consumer.Config{Concurrency: 3, Queues: []string{"default", "docs"}})
	var jobs []*producer.Job[string]
	for i := range 6 {
		jobs = append(jobs, put(s, hold.On(folder, fmt.Sprint(i), task.InQueue([]string{"default", "docs"}[i%2]))))
	}
	for range 3 {
		arrives(s, hold.in)
	}
	for range 3 {
		<-time.After(20 * time.Millisecond)
		s.same("functions that run beside the three", 0, len(hold.in))
		hold.open()
		arrives(s, hold.in)
	}
	for range 3 {
		hold.open()
	}
	for _, j := range jobs {
		resultOf(s, j)
	}
}

// Rows 68, 69: a queue can be measured, listed in order and jobs taken out; a job that is
// cancelled ends silently: no callback, no handler of successes or failures.
func TestAQueueIsListedInOrderAndJobsAreTakenOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	alert := task.Define[task.Outcome, task.None]("app.alert")
	registry.Handle(s.reg, alert, func(context.Context, task.Object, task.Outcome) (task.None, error) {
		ran.add("callback")
		return task.None{}, nil
	})
	heard := make(chan string, 20)
	say := func(what string) func(context.Context, task.Outcome) error {
		return func(_ context.Context, o task.Outcome) error {
			heard <- what + " " + o.ID
			return nil
		}
	}
	s.hear(hooks.Handlers{Success: say("success"), Failure: say("failure"), Cancelled: say("cancelled")}, hooks.Config{})
	var jobs []*producer.Job[string]
	var ids []string
	for i := range 4 {
		jobs = append(jobs, put(s, work.On(folder, fmt.Sprint(i)).OnDone(alert)))
		ids = append(ids, jobs[i].ID())
	}
	var listed []string
	for st, err := range s.Client.Queue("default").Jobs(s.ctx, producer.JobFilter{State: task.StatePending, Object: "/plone", User: &editor}) {
		s.must(err)
		listed = append(listed, st.ID)
	}
	s.same("jobs listed", ids, listed)
	s.must(jobs[1].Cancel(s.ctx))
	s.must(s.Client.Cancel(s.ctx, ids[2]))
	s.lenIs("default", 2)
	s.same("the handler of cancellations", []string{"cancelled " + ids[1], "cancelled " + ids[2]}, []string{arrives(s, heard), arrives(s, heard)})
	s.Work(s.reg)
	s.drain()
	_, err := jobs[1].Wait(s.ctx)
	s.wantErr(err, task.ErrCancelled)
	got := ran.all()
	slices.Sort(got)
	s.same("what ran", []string{"0", "3", "callback", "callback"}, got)
	s.wantErr(jobs[0].Cancel(s.ctx), producer.ErrCompleted)
	s.wantErr(s.Client.Cancel(s.ctx, "nobody"), producer.ErrNoSuchJob)
	s.same("handlers", []string{"success " + ids[0], "success " + ids[3]}, []string{arrives(s, heard), arrives(s, heard)})
	s.must(s.Client.Queue("default").Pause(s.ctx, time.Now().Add(time.Hour)))
	for i := range 3 {
		put(s, work.On(folder, fmt.Sprint("purged ", i), task.Delay(time.Duration(i)*time.Hour)))
	}
	n, err := s.Client.Queue("default").Purge(s.ctx)
	s.must(err)
	s.same("purged", 3, n)
	s.drain()
	s.lenIs("default", 0)
}

// Row 68: cancel and claim cannot both win: of jobs that are cancelled while they start
// each has one end, whatever came first.
func TestCancelAndStartCannotBothWin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	work := s.written("app.work", &ran)
	s.Work(s.reg)
	for i := range 40 {
		what := fmt.Sprint(i)
		job := put(s, work.On(folder, what, task.WithoutQuota()))
		err := job.Cancel(s.ctx)
		_, waited := job.Wait(s.ctx)
		if err == nil {
			s.wantErr(waited, task.ErrCancelled)
			s.same("end", task.Cancelled, outcomeOf(s, job).End)
			continue
		}
		s.wantErr(err, producer.ErrCompleted)
		s.must(waited)
		if !slices.Contains(ran.all(), what) {
			t.Errorf("job %s succeeded and did not run", what)
		}
	}
	s.drain()
}

// Row 69: cancelling a batch cancels those of its members that have not ended, and a
// function that runs sees its context end.
func TestACancelledBatchStopsItsMembers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	hold := s.door("app.hold")
	s.Work(s.reg)
	for _, b := range []task.Call[batch.Results]{
		batch.Serial(hold.On(folder, "a"), hold.On(folder, "b")),
		batch.Parallel(hold.On(folder, "a")),
	} {
		job := put(s, b)
		arrives(s, hold.in)
		s.must(job.Cancel(s.ctx))
		_, err := job.Wait(s.ctx)
		s.wantErr(err, task.ErrCancelled)
		s.drain()
		st, err := s.Client.Status(s.ctx, job.ID()+".1")
		s.must(err)
		s.same("end of a member", task.Cancelled, st.Outcome.End)
		s.same("members that started afterwards", 0, len(hold.in))
	}
}
