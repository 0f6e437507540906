package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Queues of the load. Each producer has a serial queue of its own, so that the order of its calls is that of the queue.
const (
	queueLimited = "limited"
	queueOpen    = "open"
	limit        = 3
)

func serialQueue(producer int) string { return fmt.Sprintf("ordered-%d", producer) }

func allQueues(producers int) []string {
	queues := []string{queueLimited, queueOpen}
	for p := range producers {
		queues = append(queues, serialQueue(p+1))
	}
	return queues
}

// chore is the input of every function.
type chore struct {
	Millis int
	Fails  int    // so many attempts fail
	Mark   string // must not be in any log
}

const mark = "S3CR3T-b7f1"

var (
	work      = task.Define[chore, int]("torture.work")
	flaky     = task.Define[chore, int]("torture.flaky", task.Retry(task.Policy{Attempts: 4, Delay: 20 * time.Millisecond}))
	aside     = task.Define[chore, int]("torture.aside", task.Retry(task.Policy{Attempts: 4, Delay: 50 * time.Millisecond, Aside: true}))
	doomed    = task.Define[chore, int]("torture.doomed")
	forbidden = task.Define[chore, int]("torture.forbidden")
	spawning  = task.Define[chore, int]("torture.spawning")
	handing   = task.Define[chore, int]("torture.handing")
	after     = task.Define[task.Outcome, task.None]("torture.after")
)

const realm = "/site/users"

var users = []task.User{{Realm: realm, ID: "alice"}, {Realm: realm, ID: "bob"}, {Realm: realm, ID: "carol"}}

// rights let everybody do everything but what is forbidden.
type rights struct{}

func (rights) Can(_ context.Context, permission string, _ task.Object) error {
	if permission == "forbidden" {
		return fmt.Errorf("%s: %w", permission, task.ErrUnauthorized)
	}
	return nil
}

// functions are what a worker runs: each writes its own truth.
func functions(log *history.Log) *registry.Registry {
	reg := registry.New()
	registry.Users(reg, func(context.Context, task.User) (registry.Principal, error) { return rights{}, nil })
	run := func(ctx context.Context, _ task.Object, in chore) (int, error) {
		return told(ctx, log, func(job task.Job) (int, error) {
			select {
			case <-time.After(time.Duration(in.Millis) * time.Millisecond):
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
			if job.Attempt <= in.Fails {
				return 0, task.Fail("doomed", "as it was asked to")
			}
			return in.Millis, nil
		})
	}
	for _, t := range []task.Definition[chore, int]{work, flaky, aside, doomed} {
		registry.Handle(reg, t, run)
	}
	registry.Handle(reg, forbidden, func(ctx context.Context, obj task.Object, _ chore) (int, error) {
		return told(ctx, log, func(job task.Job) (int, error) {
			if err := registry.Check(ctx, "forbidden", obj); err != nil {
				return 0, err
			}
			log.Running(history.Effect, job, task.UserFrom(ctx), nil)
			return 0, nil
		})
	})
	registry.Handle(reg, spawning, func(ctx context.Context, _ task.Object, in chore) (int, error) {
		return told(ctx, log, func(task.Job) (int, error) {
			_, err := producer.Enqueue(ctx, producer.Within(ctx), work.On("", in, task.InQueue(queueOpen), task.WithoutQuota()))
			return 0, err
		})
	})
	registry.Handle(reg, handing, func(ctx context.Context, _ task.Object, in chore) (int, error) {
		if _, err := told(ctx, log, func(task.Job) (int, error) { return 0, nil }); err != nil {
			return 0, err
		}
		return task.Continue(work.On("", in))
	})
	registry.Handle(reg, after, func(ctx context.Context, _ task.Object, _ task.Outcome) (task.None, error) {
		_, err := told(ctx, log, func(task.Job) (int, error) { return 0, nil })
		return task.None{}, err
	})
	return reg
}

// told writes the start and the end of a function.
func told(ctx context.Context, log *history.Log, do func(task.Job) (int, error)) (int, error) {
	job, _ := task.JobFrom(ctx)
	log.Running(history.Start, job, task.UserFrom(ctx), nil)
	n, err := do(job)
	log.Running(history.End, job, task.UserFrom(ctx), err)
	return n, err
}

// call is one job as a producer makes it.
type call struct {
	call  task.Callable
	task  string
	queue string
	shape history.Shape
}

// draw makes the next call of a producer.
func draw(rng *rand.Rand, producer int) call {
	in := chore{Millis: 5 + rng.IntN(100), Mark: mark}
	serial := serialQueue(producer)
	one := history.Shape{Callbacks: 1}
	switch rng.IntN(12) {
	case 0, 1, 2, 3:
		return call{work.On("", in, task.InQueue(serial)).OnDone(after), work.Name(), serial, history.Shape{Serial: true, Callbacks: 1}}
	case 4:
		return call{work.On("", in, task.InQueue(queueLimited)).OnDone(after), work.Name(), queueLimited, one}
	case 5:
		in.Fails = 2
		return call{flaky.On("", in, task.InQueue(serial)).OnDone(after), flaky.Name(), serial, history.Shape{Serial: true, Callbacks: 1}}
	case 6:
		in.Fails = 2
		return call{aside.On("", in, task.InQueue(queueOpen), task.WithoutQuota()).OnDone(after), aside.Name(), queueOpen, one}
	case 7:
		in.Fails = 100
		return call{doomed.On("", in, task.InQueue(queueLimited)).OnDone(after), doomed.Name(), queueLimited, history.Shape{Callbacks: 1, Fails: "doomed"}}
	case 8:
		return call{forbidden.On("", in, task.InQueue(queueOpen), task.WithoutQuota()).OnDone(after), forbidden.Name(), queueOpen, history.Shape{Callbacks: 1, Fails: "unauthorized"}}
	case 9:
		members := []task.Callable{work.On("", in), work.On("", in), work.On("", in)}
		b := batch.Serial(members...).With(task.InQueue(serial)).OnDone(after)
		return call{b, task.SerialBatch, serial, history.Shape{Serial: true, Callbacks: 1, Members: len(members), InOrder: true}}
	case 10:
		members := []task.Callable{work.On("", in), work.On("", in), handing.On("", in), work.On("", in)}
		b := batch.Parallel(members...).With(task.InQueue(queueOpen), task.WithoutQuota()).OnDone(after)
		return call{b, task.ParallelBatch, queueOpen, history.Shape{Callbacks: 1, Members: len(members)}}
	default:
		t := []task.Definition[chore, int]{spawning, handing}[rng.IntN(2)]
		return call{t.On("", in, task.InQueue(queueOpen), task.WithoutQuota(), task.Delay(time.Duration(rng.IntN(1500))*time.Millisecond)).OnDone(after), t.Name(), queueOpen, one}
	}
}
