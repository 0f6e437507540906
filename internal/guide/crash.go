package guide

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func crashes() []Step {
	return []Step{{
		Chapter: "When a worker dies",
		Title:   "Kill a worker process with SIGKILL in the middle of a job: the next worker finishes it, and it has one outcome",
		Code:    `job, err := producer.Enqueue(ctx, c, RenderReport.On("/plone/folder", 800*time.Millisecond)); …; report, err := job.Wait(ctx)`,
		Want:    "report of /plone/folder; by the second worker: true; outcomes: 1",
		Run:     killed,
	}}
}

func killed(ctx context.Context, s *Scene) (string, error) {
	running := make(chan task.Event, 16)
	sub, err := hooks.Subscribe(ctx, s.JS, hooks.Handlers{
		Progress: func(_ context.Context, e task.Event) {
			select {
			case running <- e:
			default:
			}
		},
	}, hooks.Config{Queue: ReportQueue, Logger: s.cfg.Logger})
	if err != nil {
		return "", err
	}
	defer sub.Stop()
	first, err := s.spawn(ctx)
	if err != nil {
		return "", err
	}
	defer end(first)
	job, err := producer.Enqueue(ctx, s.Client, RenderReport.On(Folder, 800*time.Millisecond))
	if err != nil {
		return "", err
	}
	var at task.Event
	select {
	case at = <-running:
	case <-ctx.Done():
		return "", fmt.Errorf("guide: the first worker did not begin: %w", context.Cause(ctx))
	}
	if err := first.Process.Kill(); err != nil {
		return "", err
	}
	_ = first.Wait()
	second, err := s.spawn(ctx)
	if err != nil {
		return "", err
	}
	defer end(second)
	report, err := job.Wait(ctx)
	if err != nil {
		return "", err
	}
	outcomes, by := 0, ""
	for o, err := range s.Client.Outcomes(ctx, producer.OutcomeFilter{Queue: ReportQueue}) {
		if err != nil {
			return "", err
		}
		if o.ID == job.ID() {
			outcomes, by = outcomes+1, o.Worker
		}
	}
	return fmt.Sprintf("%s; by the second worker: %v; outcomes: %d", report, by != "" && by != at.Worker, outcomes), nil
}

// end lets a worker process finish what it does, as a deployment would. One that was
// killed has ended.
func end(cmd *exec.Cmd) {
	if cmd.ProcessState != nil {
		return
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
}
