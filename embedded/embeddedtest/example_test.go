package embeddedtest_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natsasync/natsasync/embedded/embeddedtest"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var double = task.Define[int, int]("math.double")

func numbers() *registry.Registry {
	reg := registry.New()
	registry.Handle(reg, double, func(_ context.Context, _ task.Object, n int) (int, error) { return 2 * n, nil })
	return reg
}

// This is what a test of a task looks like.
func TestDouble(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	env.Work(numbers())

	job, err := producer.Enqueue(t.Context(), env.Client, double.On("", 21))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := job.Wait(t.Context()); err != nil || n != 42 {
		t.Errorf("double 21: %d, %v", n, err)
	}
}

func TestDrainWaitsUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t, "mail")
	jobs := make([]*producer.Job[int], 3)
	for i, opt := range []task.Option{task.InQueue("mail"), task.WithoutQuota(), task.Delay(200 * time.Millisecond)} {
		var err error
		if jobs[i], err = producer.Enqueue(t.Context(), env.Client, double.On("", i).With(opt)); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := env.Drain(short); err == nil {
		t.Error("nothing was left before a worker came")
	}
	env.Work(numbers(), "default", "mail")
	if err := env.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, job := range jobs {
		if o, err := job.Outcome(t.Context()); err != nil || o == nil {
			t.Errorf("job %d has no outcome after Drain, %v", i, err)
		}
	}
}

func TestAWorkerThatWasStoppedTakesNothing(t *testing.T) {
	t.Parallel()
	env := embeddedtest.New(t)
	stop := env.Work(numbers())
	stop()
	job, err := producer.Enqueue(t.Context(), env.Client, double.On("", 1))
	if err != nil {
		t.Fatal(err)
	}
	st, err := job.Status(t.Context())
	if err != nil || st.State != task.StatePending {
		t.Errorf("the job is %s, %v", st.State, err)
	}
	env.Work(numbers())
	if _, err := job.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
