package guide

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Step is one thing that the guide shows: what is done, the Go line that does it, and
// what must come back.
type Step struct {
	Chapter string
	Title   string
	Code    string
	Want    string
	Run     func(ctx context.Context, s *Scene) (string, error)
}

// Story is the guide, in its order. Each step stands on those before it.
func Story() []Step {
	return slices.Concat(basicUse(), batches(), security(), callbacks(), units(), crashes())
}

func basicUse() []Step {
	return []Step{{
		Chapter: "Basic use",
		Title:   "Add two numbers, on a folder, as alice, and wait for the sum",
		Code:    `sum, err := producer.Enqueue(ctx, c, AddNumbers.On("/plone/folder", Numbers{40, 2})); n, err := sum.Wait(ctx)`,
		Want:    "42",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			sum, err := producer.Enqueue(ctx, s.Client, AddNumbers.On(Folder, Numbers{A: 40, B: 2}))
			if err != nil {
				return "", err
			}
			n, err := sum.Wait(ctx)
			return fmt.Sprint(n), err
		},
	}, {
		Title: "Stage a job in a Tx: its queue has one job and it is pending, for the Tx alone; Commit queues it",
		Code:  `tx := c.Begin(); sum, err := producer.Enqueue(ctx, tx, …); n, err := tx.Queue("default").Len(ctx); err = tx.Commit(ctx)`,
		Want:  "1 job, pending; others see 0; then 42",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			tx := s.Client.Begin()
			sum, err := producer.Enqueue(ctx, tx, AddNumbers.On(Folder, Numbers{A: 40, B: 2}))
			if err != nil {
				return "", err
			}
			staged, err := tx.Queue("default").Len(ctx)
			if err != nil {
				return "", err
			}
			others, err := s.Client.Queue("default").Len(ctx)
			if err != nil {
				return "", err
			}
			st, err := sum.Status(ctx)
			if err != nil {
				return "", err
			}
			if err := tx.Commit(ctx); err != nil {
				return "", err
			}
			n, err := sum.Wait(ctx)
			return fmt.Sprintf("%d job, %s; others see %d; then %d", staged, st.State, others, n), err
		},
	}}
}

func batches() []Step {
	return []Step{{
		Chapter: "Batches of jobs",
		Title:   "Create a document and submit it: two jobs, run one after the other in the order queued",
		Code:    `_, err = producer.Enqueue(ctx, c, CreateDocument.On(at, NewDocument{ID: "foo"})); job2, err := producer.Enqueue(ctx, c, SubmitDocument.On(at, "foo")); _, err = job2.Wait(ctx)`,
		Want:    "/plone/folder/foo is pending",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			if _, err := producer.Enqueue(ctx, s.Client, CreateDocument.On(Folder, document("foo"))); err != nil {
				return "", err
			}
			job2, err := producer.Enqueue(ctx, s.Client, SubmitDocument.On(Folder, "foo"))
			if err != nil {
				return "", err
			}
			_, err = job2.Wait(ctx)
			return "/plone/folder/foo is " + s.Site.State(Folder+"/foo"), err
		},
	}, {
		Title: "The same as one job, a serial batch; its results are looked at",
		Code:  `job, err := producer.Enqueue(ctx, c, batch.Serial(CreateDocument.On(at, …), SubmitDocument.On(at, "bar"))); res, err := job.Wait(ctx)`,
		Want:  `res[0] is "bar", res[1] succeeded, /plone/folder/bar is pending`,
		Run: func(ctx context.Context, s *Scene) (string, error) {
			job, err := producer.Enqueue(ctx, s.Client, batch.Serial(
				CreateDocument.On(Folder, document("bar")),
				SubmitDocument.On(Folder, "bar")))
			if err != nil {
				return "", err
			}
			res, err := job.Wait(ctx)
			if err != nil || len(res) != 2 {
				return fmt.Sprint(len(res), " results"), err
			}
			id, err := task.Result[string](res[0])
			return fmt.Sprintf("res[0] is %q, res[1] %s, /plone/folder/bar is %s", id, res[1].End, s.Site.State(Folder+"/bar")), err
		},
	}, {
		Title: "A parallel batch: all at once, on any workers; the results come in the order of the calls",
		Code:  `job, err := producer.Enqueue(ctx, c, batch.Parallel(AddNumbers.On(at, Numbers{1, 1}), AddNumbers.On(at, Numbers{2, 2}), AddNumbers.On(at, Numbers{3, 3})))`,
		Want:  "2 4 6",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			job, err := producer.Enqueue(ctx, s.Client, batch.Parallel(
				AddNumbers.On(Folder, Numbers{A: 1, B: 1}),
				AddNumbers.On(Folder, Numbers{A: 2, B: 2}),
				AddNumbers.On(Folder, Numbers{A: 3, B: 3})))
			if err != nil {
				return "", err
			}
			res, err := job.Wait(ctx)
			if err != nil {
				return "", err
			}
			var sums []string
			for _, r := range res {
				sum, err := task.Result[int](r)
				if err != nil {
					return "", err
				}
				sums = append(sums, fmt.Sprint(sum))
			}
			return strings.Join(sums, " "), nil
		},
	}}
}

func security() []Step {
	return []Step{{
		Chapter: "Security and user permissions",
		Title:   "Create a document in the portal root, where alice may not: the job fails, and the waiter sees why",
		Code:    `job, err := producer.Enqueue(ctx, c, CreateDocument.On("/plone", NewDocument{ID: "foo"})); _, err = job.Wait(ctx); errors.Is(err, task.ErrUnauthorized)`,
		Want:    "unauthorized: true",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			job, err := producer.Enqueue(ctx, s.Client, CreateDocument.On(Portal, document("foo")))
			if err != nil {
				return "", err
			}
			_, err = job.Wait(ctx)
			f, failed := errors.AsType[*task.Failure](err)
			if !failed {
				return "", err
			}
			return fmt.Sprintf("%s: %v", f.Code, errors.Is(err, task.ErrUnauthorized)), nil
		},
	}}
}

func callbacks() []Step {
	return []Step{{
		Chapter: "Handling failure and success",
		Title:   "A callback on success takes the result",
		Code:    `job, err := producer.Enqueue(ctx, c, AddNumbers.On(at, Numbers{40, 2}).OnSuccess(SuccessCallback)); _, err = job.Wait(ctx)`,
		Want:    "Success: 42",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			s.Site.Told()
			job, err := producer.Enqueue(ctx, s.Client, AddNumbers.On(Folder, Numbers{A: 40, B: 2}).OnSuccess(SuccessCallback))
			if err != nil {
				return "", err
			}
			_, err = job.Wait(ctx)
			return strings.Join(s.Site.Told(), ", "), err
		},
	}, {
		Title: "A callback on failure takes the failure",
		Code:  `job, err := producer.Enqueue(ctx, c, FailingJob.On(at, task.None{}).OnFailure(FailureCallback)); _, err = job.Wait(ctx)`,
		Want:  "Failure: FooBared; the waiter gets: FooBared",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			s.Site.Told()
			job, err := producer.Enqueue(ctx, s.Client, FailingJob.On(Folder, task.None{}).OnFailure(FailureCallback))
			if err != nil {
				return "", err
			}
			_, err = job.Wait(ctx)
			if _, failed := errors.AsType[*task.Failure](err); !failed {
				return "", err
			}
			return fmt.Sprintf("%s; the waiter gets: %v", strings.Join(s.Site.Told(), ", "), err), nil
		},
	}, {
		Title: "Handlers see every success and every failure, whoever queued it",
		Code:  `sub, err := hooks.Subscribe(ctx, js, hooks.Handlers{Success: …, Failure: …}, hooks.Config{}); …; sub.Stop()`,
		Want:  "42, FooBared",
		Run:   handlers,
	}}
}

func handlers(ctx context.Context, s *Scene) (string, error) {
	var mu sync.Mutex
	var seen []string
	both := make(chan struct{})
	note := func(line string) error {
		mu.Lock()
		defer mu.Unlock()
		if seen = append(seen, line); len(seen) == 2 {
			close(both)
		}
		return nil
	}
	sub, err := hooks.Subscribe(ctx, s.JS, hooks.Handlers{
		Success: func(_ context.Context, o task.Outcome) error {
			n, err := task.Result[int](o)
			return errors.Join(err, note(fmt.Sprint(n)))
		},
		Failure: func(_ context.Context, o task.Outcome) error { return note(o.Failure.Message) },
	}, hooks.Config{Logger: s.cfg.Logger})
	if err != nil {
		return "", err
	}
	defer sub.Stop()
	if _, err := producer.Enqueue(ctx, s.Client, AddNumbers.On(Folder, Numbers{A: 40, B: 2})); err != nil {
		return "", err
	}
	if _, err := producer.Enqueue(ctx, s.Client, FailingJob.On(Folder, task.None{})); err != nil {
		return "", err
	}
	select {
	case <-both:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	mu.Lock()
	defer mu.Unlock()
	return strings.Join(seen, ", "), nil
}

func units() []Step {
	return []Step{{
		Chapter: "Units of work",
		Title:   "Queue in a Tx and abort it: nothing was queued",
		Code:    `tx := c.Begin(); job, err := producer.Enqueue(ctx, tx, CreateDocument.On(at, …)); tx.Abort()`,
		Want:    "aborted: true; queued: 0; /plone/folder/never is not there",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			tx := s.Client.Begin()
			job, err := producer.Enqueue(ctx, tx, CreateDocument.On(Folder, document("never")))
			if err != nil {
				return "", err
			}
			tx.Abort()
			_, err = job.Wait(ctx)
			n, lenErr := s.Client.Queue("default").Len(ctx)
			there := "there"
			if s.Site.State(Folder+"/never") == "" {
				there = "not there"
			}
			return fmt.Sprintf("aborted: %v; queued: %d; /plone/folder/never is %s", errors.Is(err, producer.ErrAborted), n, there), lenErr
		},
	}, {
		Title: "A job for later: scheduled, then run by the server's clock",
		Code:  `job, err := producer.Enqueue(ctx, c, AddNumbers.On(at, Numbers{20, 1}).With(task.Delay(time.Second)))`,
		Want:  "scheduled; not before its time: true; then 21",
		Run: func(ctx context.Context, s *Scene) (string, error) {
			queued := time.Now()
			job, err := producer.Enqueue(ctx, s.Client, AddNumbers.On(Folder, Numbers{A: 20, B: 1}).With(task.Delay(time.Second)))
			if err != nil {
				return "", err
			}
			st, err := job.Status(ctx)
			if err != nil {
				return "", err
			}
			n, err := job.Wait(ctx)
			return fmt.Sprintf("%s; not before its time: %v; then %d", st.State, time.Since(queued) >= time.Second, n), err
		},
	}}
}

func document(id string) NewDocument {
	return NewDocument{ID: id, Title: "title", Description: "description", Body: "body"}
}
