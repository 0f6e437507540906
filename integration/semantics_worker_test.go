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

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Chapter F of the original's features: workers and failures.

// Rows 73, 75: workers answer for themselves: what they run, since when; one that stopped
// or died is not listed, without anybody having written a heartbeat.
func TestWorkersAreListedWhileTheyLive(t *testing.T) {
	t.Parallel()
	s := newSite(t, "docs")
	s.door("app.hold")
	var ran notes
	s.written("app.work", &ran)
	first := s.doomed(s.reg, consumer.Config{Name: "first", Queues: []string{"docs", "default"}, Concurrency: 3})
	stop := s.WorkWith(s.reg, consumer.Config{Name: "second"})
	listed := func(want ...string) {
		t.Helper()
		for {
			all, err := s.Client.Workers(s.ctx)
			s.must(err)
			var names []string
			for _, w := range all {
				names = append(names, w.Name)
				if w.Name == "first" {
					s.same("what a worker says", []any{[]string{"docs", "default"}, []string{"app.hold", "app.work"}, 3}, []any{w.Queues, w.Tasks, w.Concurrency})
				}
				if w.Started.IsZero() || w.PID == 0 || w.ID == "" {
					t.Errorf("worker %+v", w)
				}
			}
			slices.Sort(names)
			if slices.Equal(names, want) {
				return
			}
			s.nap("workers %v are listed, want %v", names, want)
		}
	}
	listed("first", "second")
	stop()
	listed("first")
	first.kill()
	listed()
}

// Rows 77, 78: when a worker dies, any other goes on: with jobs that it had pulled and not
// started in their old place, with the one that it ran, with the callbacks that it ran.
func TestAnyWorkerTakesOverFromADeadOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	var tries, afterTries atomic.Int32
	in := make(chan string, 10)
	hang := func(tries *atomic.Int32) func(context.Context, task.Object, string) (string, error) {
		return func(ctx context.Context, _ task.Object, what string) (string, error) {
			job, _ := task.JobFrom(ctx)
			ran.add(fmt.Sprint(what, job.Attempt))
			in <- what
			if tries.Add(1) == 1 {
				<-ctx.Done()
			}
			return what, ctx.Err()
		}
	}
	active, after := task.Define[string, string]("app.active"), task.Define[string, string]("app.after")
	registry.Handle(s.reg, active, hang(&tries))
	registry.Handle(s.reg, after, hang(&afterTries))
	work := s.written("app.work", &ran)
	first := s.doomed(s.reg, consumer.Config{Name: "first"})
	done := put(s, work.On(folder, "done").Then(after.On(folder, "after")))
	arrives(s, in)
	running := put(s, active.On(folder, "active"))
	waiting := put(s, work.On(folder, "waiting"))
	arrives(s, in)
	first.kill()
	s.WorkWith(s.reg, consumer.Config{Name: "second"})
	resultOf(s, running)
	resultOf(s, waiting)
	resultOf(s, done)
	s.same("workers", []string{"first", "second", "second"}, []string{outcomeOf(s, done).Worker, outcomeOf(s, running).Worker, outcomeOf(s, waiting).Worker})
	s.same("attempts of the one that was interrupted", 1, outcomeOf(s, running).Attempt)
	got := ran.all()
	s.same("first", []string{"done", "after1", "active1"}, got[:3])
	order := strings.Join(got[3:], " ")
	if strings.Count(order, "active1") != 1 || strings.Count(order, "after1") != 1 || !strings.Contains(order, "waiting") || strings.Index(order, "active1") > strings.Index(order, "waiting") {
		t.Errorf("then: %v", got[3:])
	}
}

// Row 79: nine interruptions are survived, the tenth fails the job: it must not kill all
// workers. They count apart from attempts.
func TestTheTenthInterruptionIsTheLast(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	look := task.Define[task.None, int]("app.look", task.WithoutQuota())
	registry.Handle(s.reg, look, func(ctx context.Context, _ task.Object, _ task.None) (int, error) {
		job, _ := task.JobFrom(ctx)
		return job.Attempt, nil
	})
	nine, ten := put(s, look.On(folder, task.None{})), put(s, look.On(folder, task.None{}))
	s.interrupted(nine.ID(), 9)
	s.interrupted(ten.ID(), 10)
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	s.same("attempt after nine interruptions", 1, resultOf(s, nine))
	s.wantErr(failureOf(s, ten), task.ErrInterrupted)
	s.same("the history has it", task.Failed, outcomeOf(s, ten).End)
}

// Row 80: a worker that is stopped lets its jobs finish; what takes too long goes back to
// its place, and that is neither an attempt nor an interruption.
func TestAStoppedWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	finishing := make(chan struct{})
	finish := task.Define[task.None, string]("app.finish", task.WithoutQuota())
	in := make(chan int, 10)
	var runs atomic.Int32
	registry.Handle(s.reg, finish, func(context.Context, task.Object, task.None) (string, error) {
		in <- 0
		<-finishing
		return "finished", nil
	})
	long := task.Define[task.None, int]("app.long")
	registry.Handle(s.reg, long, func(ctx context.Context, _ task.Object, _ task.None) (int, error) {
		job, _ := task.JobFrom(ctx)
		in <- job.Attempt
		if runs.Add(1) == 1 {
			<-ctx.Done()
		}
		return job.Attempt, ctx.Err()
	})
	var ran notes
	work := s.written("app.work", &ran)
	stop := s.WorkWith(s.reg, consumer.Config{ShutdownTimeout: 5 * time.Second, Name: "old"})
	a, b, c := put(s, finish.On(folder, task.None{})), put(s, long.On(folder, task.None{})), put(s, work.On(folder, "next"))
	arrives(s, in)
	arrives(s, in)
	time.AfterFunc(50*time.Millisecond, func() { close(finishing) })
	stop()
	s.same("the one that could finish", "finished", resultOf(s, a))
	s.same("by whom", "old", outcomeOf(s, a).Worker)
	s.lenIs("default", 1)
	s.stateIs(task.StatePending, b.Status)
	s.Work(s.reg)
	s.same("attempt of the one that went back", 1, resultOf(s, b))
	resultOf(s, c)
	for _, claim := range s.claims(b.ID()) {
		s.same("interruptions", 0, claim.Interruptions)
	}
}

// Rows 81, 82: a worker that was cut off stops by itself; another runs its job, and what
// the late one still returns counts for nothing: not its result, not its notes, not what
// it queues. Afterwards it takes jobs again.
func TestALateWorkerIsFenced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	in, on := make(chan context.Context, 2), make(chan struct{})
	var tries atomic.Int32
	var ran notes
	child := s.written("app.child", &ran)
	work := task.Define[task.None, string]("app.work")
	registry.Handle(s.reg, work, func(ctx context.Context, _ task.Object, _ task.None) (string, error) {
		n := tries.Add(1)
		if n == 1 {
			in <- ctx
			<-on
		}
		_ = task.Note(ctx, "by", n)
		_, err := producer.Enqueue(ctx, producer.Within(ctx), child.On(folder, fmt.Sprint("child of run ", n)))
		return fmt.Sprint("run ", n), err
	})
	first := s.doomed(s.reg, consumer.Config{Name: "first"})
	job := put(s, work.On(folder, task.None{}))
	ctx := arrives(s, in)
	first.cut()
	select {
	case <-ctx.Done():
	case <-s.ctx.Done():
		t.Fatal("the worker that was cut off does not know it")
	}
	stop := s.WorkWith(s.reg, consumer.Config{Name: "second"})
	s.same("the result", "run 2", resultOf(s, job))
	first.mend()
	on <- struct{}{}
	s.drain()
	stop()
	again := put(s, work.On(folder, task.None{}))
	s.same("the next job", "run 3", resultOf(s, again))
	s.same("who ran them", []string{"second", "first"}, []string{outcomeOf(s, job).Worker, outcomeOf(s, again).Worker})
	s.same("the result stays", "run 2", resultOf(s, job))
	var by int32
	s.must(task.Unmarshal(s.stateOf(job).Notes["by"], &by))
	s.same("the note", int32(2), by)
	s.drain()
	s.same("children", []string{"child of run 2", "child of run 3"}, ran.all())
}

// Rows 84, 90: a server that goes away and comes back only makes everything wait: the
// result of a job that ended meanwhile is recorded, and nothing runs twice.
func TestAResultIsStoredAlthoughTheServerWasAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv, err := embedded.Start(embedded.Config{StoreDir: dir, Port: -1, Logger: quietly, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(task.WithUser(t.Context(), editor), patience)
	defer cancel()
	url := srv.URL()
	connect := func() jetstream.JetStream {
		nc, err := dial(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	client, err := producer.New(ctx, connect(), producer.Config{Logger: quietly})
	if err != nil {
		t.Fatal(err)
	}
	work := task.Define[string, string]("app.work")
	in, on := make(chan string, 10), make(chan struct{}, 10)
	reg := registry.New()
	registry.Handle(reg, work, func(_ context.Context, _ task.Object, what string) (string, error) {
		in <- what
		<-on
		return what, nil
	})
	w, err := consumer.New(ctx, connect(), reg, consumer.Config{Trust: task.TrustBroker, Logger: quietly})
	if err != nil {
		t.Fatal(err)
	}
	runs, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(runs) }()
	job, err := producer.Enqueue(ctx, client, work.On(folder, "one"))
	if err != nil {
		t.Fatal(err)
	}
	<-in
	if err := srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	on <- struct{}{} // it ends while there is no server
	on <- struct{}{}
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "nats://"), ":")
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	if srv, err = embedded.Start(embedded.Config{StoreDir: dir, Port: n, Logger: quietly, NoSync: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if got, err := job.Wait(ctx); got != "one" || err != nil {
		t.Errorf("the result is %q, %v", got, err)
	}
	next, err := producer.Enqueue(ctx, client, work.On(folder, "two"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := next.Wait(ctx); got != "two" || err != nil {
		t.Errorf("the next result is %q, %v", got, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(in) != 1 {
		t.Errorf("%d more runs than jobs", len(in)-1)
	}
}

// counted is a task that counts its attempts and fails with err as often as its input says.
func counted(s *site, name string, n *atomic.Int32, err error, opts ...task.Option) task.Definition[int32, int32] {
	def := task.Define[int32, int32](name, opts...)
	registry.Handle(s.reg, def, func(_ context.Context, _ task.Object, fails int32) (int32, error) {
		if got := n.Add(1); got > fails {
			return got, nil
		}
		return 0, err
	})
	return def
}

// Rows 83, 85, 86, 87, 89: an ordinary error is final; one that is marked as passing gets
// five attempts, at once and in place; a policy of the task retries ordinary errors, a
// call can have another, and Permanent ends them all.
func TestOnlyWhatIsToldToIsTriedAgain(t *testing.T) {
	t.Parallel()
	ordinary := errors.New("no")
	policy := task.Retry(task.Policy{Attempts: 3})
	for name, c := range map[string]struct {
		err      error
		defaults []task.Option
		call     []task.Option
		fails    int32
		runs     int32
		succeeds bool
	}{
		"an ordinary error":           {err: ordinary, fails: 1, runs: 1},
		"a passing one":               {err: task.Retryable(ordinary), fails: 4, runs: 5, succeeds: true},
		"one that does not pass":      {err: task.Retryable(ordinary), fails: 9, runs: 5},
		"after a pause":               {err: task.RetryAfter(50*time.Millisecond, ordinary), fails: 1, runs: 2, succeeds: true},
		"a task's policy":             {err: ordinary, defaults: []task.Option{policy}, fails: 9, runs: 3},
		"a call's policy":             {err: ordinary, defaults: []task.Option{policy}, call: []task.Option{task.Retry(task.Policy{Attempts: 2})}, fails: 9, runs: 2},
		"a call that is tried once":   {err: ordinary, defaults: []task.Option{policy}, call: []task.Option{task.Retry(task.Policy{Attempts: 1})}, fails: 9, runs: 1},
		"a call that must finish":     {err: ordinary, call: []task.Option{task.Retry(task.Policy{Attempts: 10_000})}, fails: 20, runs: 21, succeeds: true},
		"a permanent error":           {err: task.Permanent(ordinary), defaults: []task.Option{policy}, fails: 9, runs: 1},
		"a passing one with a policy": {err: task.Retryable(ordinary), defaults: []task.Option{policy}, fails: 9, runs: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			var n atomic.Int32
			var ran notes
			work, next := counted(s, "app.work", &n, c.err, c.defaults...), s.written("app.next", &ran)
			s.WorkWith(s.reg, consumer.Config{Logger: quietly})
			job := put(s, work.On(folder, c.fails, c.call...))
			put(s, next.On(folder, "next"))
			_, err := job.Wait(s.ctx)
			if c.succeeds {
				s.must(err)
			} else {
				s.same("message", "no", failureOf(s, job).Message)
			}
			s.drain()
			s.same("attempts", []int32{c.runs, c.runs}, []int32{n.Load(), int32(outcomeOf(s, job).Attempt)})
			s.same("the next job", []string{"next"}, ran.all())
		})
	}
}

// Rows 57, 86: a retry with a delay keeps its place in the lane, unless its policy says
// aside.
func TestARetryKeepsItsPlaceUnlessItStepsAside(t *testing.T) {
	t.Parallel()
	for aside, want := range map[bool][]string{false: {"try", "try", "next"}, true: {"try", "next", "try"}} {
		t.Run(fmt.Sprint("aside ", aside), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			var ran notes
			flaky := task.Define[task.None, task.None]("app.flaky", task.Retry(task.Policy{Attempts: 2, Delay: 2 * time.Second, Aside: aside}))
			registry.Handle(s.reg, flaky, func(ctx context.Context, _ task.Object, _ task.None) (task.None, error) {
				ran.add("try")
				if job, _ := task.JobFrom(ctx); job.Attempt == 1 {
					return task.None{}, errors.New("not yet")
				}
				return task.None{}, nil
			})
			next := s.written("app.next", &ran)
			a, b := put(s, flaky.On(folder, task.None{})), put(s, next.On(folder, "next"))
			s.WorkWith(s.reg, consumer.Config{Logger: quietly})
			resultOf(s, a)
			resultOf(s, b)
			s.same("order", want, ran.all())
		})
	}
}

// Row 89: members and callbacks have policies of their own; that of their job is not theirs.
func TestMembersAndCallbacksHaveTheirOwnPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var retried, once, after atomic.Int32
	ordinary := errors.New("no")
	a := counted(s, "app.retried", &retried, ordinary, task.Retry(task.Policy{Attempts: 3}))
	b := counted(s, "app.once", &once, ordinary)
	c := counted(s, "app.after", &after, ordinary, task.Retry(task.Policy{Attempts: 2}))
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	job := put(s, batch.Serial(a.On(folder, 2), b.On(folder, 1)).With(task.Retry(task.Policy{Attempts: 9})).Then(c.On(folder, 1)))
	res := resultOf(s, job)
	s.same("ends", []task.End{task.Succeeded, task.Failed}, []task.End{res[0].End, res[1].End})
	s.same("runs", []int32{3, 1, 2}, []int32{retried.Load(), once.Load(), after.Load()})
}

// Row 92: what is put around functions runs around every attempt, with the user, and its
// end comes before the outcome.
func TestMiddlewareIsAroundEveryAttempt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ran notes
	var n atomic.Int32
	work := counted(s, "app.work", &n, task.Retryable(errors.New("no")))
	s.reg.Use(func(next registry.Run) registry.Run {
		return func(ctx context.Context) error {
			job, _ := task.JobFrom(ctx)
			ran.add(fmt.Sprint("set up ", job.Attempt, " for ", task.UserFrom(ctx).ID))
			err := next(ctx)
			st, statusErr := s.Client.Status(ctx, job.ID)
			ran.add(fmt.Sprint("tear down ", err, " ", st.State, " ", statusErr))
			return err
		}
	})
	s.WorkWith(s.reg, consumer.Config{Logger: quietly})
	resultOf(s, put(s, work.On(folder, 1)))
	s.same("around", []string{"set up 1 for editor", "tear down no active <nil>", "set up 2 for editor", "tear down <nil> active <nil>"}, ran.all())
}

// Row 82: the lease is what a worker may be silent for, however long a job takes.
func TestALongJobKeepsItsLease(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	long := task.Define[task.None, int]("app.long")
	var runs atomic.Int32
	registry.Handle(s.reg, long, func(ctx context.Context, _ task.Object, _ task.None) (int, error) {
		runs.Add(1)
		select {
		case <-time.After(embeddedtest.Lease * 3 / 2):
		case <-ctx.Done():
		}
		return 1, ctx.Err()
	})
	s.Work(s.reg)
	s.Work(s.reg)
	resultOf(s, put(s, long.On(folder, task.None{})))
	s.same("runs", int32(1), runs.Load())
}
