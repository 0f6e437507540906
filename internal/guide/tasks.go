package guide

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// The queue of long jobs, which worker processes of their own serve.
const ReportQueue = "reports"

// Inputs of the tasks.
type (
	// Numbers is what AddNumbers takes.
	Numbers struct{ A, B int }
	// NewDocument is what CreateDocument takes.
	NewDocument struct{ ID, Title, Description, Body string }
)

// The tasks of the guide. This is all that producer and worker share.
var (
	AddNumbers      = task.Define[Numbers, int]("guide.add-numbers")
	CreateDocument  = task.Define[NewDocument, string]("guide.create-document")
	SubmitDocument  = task.Define[string, task.None]("guide.submit-document")
	FailingJob      = task.Define[task.None, task.None]("guide.failing-job")
	SuccessCallback = task.Define[int, task.None]("guide.success-callback")
	FailureCallback = task.Define[task.Failure, task.None]("guide.failure-callback")
	RenderReport    = task.Define[time.Duration, string]("guide.render-report", task.InQueue(ReportQueue))
)

// Registry gives the tasks their functions on a site.
func Registry(s *Site) *registry.Registry {
	reg := registry.New()
	registry.Objects(reg, "/plone/{path...}", s.find)
	registry.Users(reg, s.user)
	registry.Handle(reg, AddNumbers, func(_ context.Context, _ *Place, in Numbers) (int, error) {
		return in.A + in.B, nil
	})
	registry.Handle(reg, CreateDocument, func(_ context.Context, p *Place, in NewDocument) (string, error) {
		return p.create(in.ID)
	}, registry.Require(AddContent))
	registry.Handle(reg, SubmitDocument, func(_ context.Context, p *Place, id string) (task.None, error) {
		return task.None{}, p.submit(id)
	}, registry.Require(Submit))
	registry.Handle(reg, FailingJob, func(context.Context, *Place, task.None) (task.None, error) {
		return task.None{}, errors.New("FooBared")
	})
	registry.Handle(reg, SuccessCallback, func(_ context.Context, _ *Place, sum int) (task.None, error) {
		s.tell(fmt.Sprint("Success: ", sum))
		return task.None{}, nil
	})
	registry.Handle(reg, FailureCallback, func(_ context.Context, _ *Place, f task.Failure) (task.None, error) {
		s.tell("Failure: " + f.Message)
		return task.None{}, nil
	})
	registry.Handle(reg, RenderReport, render)
	return reg
}

// render takes its time, says how far it is, and heeds its context.
func render(ctx context.Context, o task.Object, takes time.Duration) (string, error) {
	const steps = 10
	for i := range steps {
		task.Progress(ctx, float64(i)/steps, "rendering")
		select {
		case <-time.After(takes / steps):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return fmt.Sprintf("report of %s", o), nil
}
