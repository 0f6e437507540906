package integration_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/natsasync/natsasync/internal/guide"
	"github.com/natsasync/natsasync/task"
)

// TestGuide goes through the original's user guide, chapter by chapter, as the demo
// does: package internal/guide holds the text. Each step stands on those before it.
func TestGuide(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := task.WithUser(t.Context(), guide.Alice)
	scene, err := guide.Open(ctx, guide.Config{Worker: []string{program, guideWorker}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer scene.Close()
	chapter := ""
	for _, step := range guide.Story() {
		if step.Chapter != "" {
			chapter = step.Chapter
		}
		got, err := step.Run(ctx, scene)
		if err != nil {
			t.Fatalf("%s: %s: %v", chapter, step.Title, err)
		}
		if got != step.Want {
			t.Errorf("%s: %s:\n\t%s\n got %s\nwant %s", chapter, step.Title, step.Code, got, step.Want)
		}
	}
}

// guideWorker is the argument that makes this binary the worker process of the guide.
const guideWorker = "guide-worker"

func playGuideWorker() (code int, played bool) {
	if len(os.Args) != 3 || os.Args[1] != guideWorker {
		return 0, false
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := guide.RunWorker(ctx, os.Args[2], quiet); err != nil {
		fmt.Fprintln(os.Stderr, "guide worker:", err)
		return 1, true
	}
	return 0, true
}
