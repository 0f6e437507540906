package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/natsasync/natsasync/internal/guide"
	"github.com/natsasync/natsasync/task"
)

// demoWithin bounds the demo: its steps take a few seconds together.
const demoWithin = time.Minute

type demoCmd struct {
	Keep bool `help:"Leave the server running afterwards, until it is interrupted."`
	Port int  `default:"-1" help:"Port of the server, -1 for any free one (${default})."`
}

// Run goes through the guide on a server, a producer and a worker of its own.
func (c demoCmd) Run(ctx context.Context, e *environment) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start it as a worker process: %w", err)
	}
	story, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	scene, err := guide.Open(story, guide.Config{Worker: []string{program, "demo-worker"}, Port: c.Port, Logger: e.logger()})
	if err != nil {
		return err
	}
	defer scene.Close()
	if err := e.tell(story, scene); err != nil || !c.Keep {
		return err
	}
	if err := e.lookAround(scene.Server.URL()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// told is what a step shows.
type told struct {
	Chapter string        `json:"chapter"`
	Step    string        `json:"step"`
	Code    string        `json:"code"`
	Got     string        `json:"got"`
	Want    string        `json:"want"`
	OK      bool          `json:"ok"`
	Took    time.Duration `json:"took_ns"`
}

// tell runs the story to its end, though a step may not come out as told.
func (e *environment) tell(ctx context.Context, scene *guide.Scene) error {
	ctx = task.WithUser(ctx, guide.Alice)
	var chapter string
	wrong, began := 0, time.Now()
	steps := guide.Story()
	for _, step := range steps {
		if step.Chapter != "" {
			chapter = step.Chapter
		}
		start := time.Now()
		got, err := step.Run(ctx, scene)
		if err != nil {
			got = "error: " + err.Error()
		}
		t := told{chapter, step.Title, step.Code, got, step.Want, got == step.Want, time.Since(start)}
		if !t.OK {
			wrong++
		}
		if e.asJSON {
			err = e.writeJSONLine(t)
		} else {
			err = e.showStep(t, step.Chapter != "")
		}
		if err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d steps did not come out as told", wrong, len(steps))
	}
	if e.asJSON {
		return nil
	}
	return e.say("\n%s", e.paint(fmt.Sprintf("All %d steps came out as told, in %.1f s.", len(steps), time.Since(began).Seconds()), green))
}

func (e *environment) showStep(t told, opens bool) error {
	var errs []error
	if opens {
		errs = append(errs, e.say("\n%s", e.paint(t.Chapter, bold)))
	}
	result := e.paint("  → "+printable(t.Got), green)
	if !t.OK {
		result = e.paint("  ✗ "+printable(t.Got), red) + "\n    wanted: " + printable(t.Want)
	}
	errs = append(errs,
		e.say("  %s", t.Step),
		e.say("    %s", e.paint(t.Code, faint)),
		e.say("  %s %s", result, e.paint(fmt.Sprintf("(%.1f ms)", float64(t.Took.Microseconds())/1000), faint)))
	return errors.Join(errs...)
}

func (e *environment) lookAround(url string) error {
	if e.asJSON {
		return e.writeJSON(map[string]string{"url": url})
	}
	return e.say(`
The server is still there: %[1]s
Look around with the nats tool (in another terminal):
  nats -s %[1]s stream ls
  nats -s %[1]s stream subjects NATSASYNC_OUTCOMES
  nats -s %[1]s consumer report NATSASYNC_JOBS
  nats -s %[1]s sub --stream NATSASYNC_OUTCOMES --all --translate 'natsasync decode' 'natsasync.outcome.*.failed.*.*'
  nats -s %[1]s service ls
and with natsasync:
  natsasync -s %[1]s queue ls
  natsasync -s %[1]s job ls --ended
Ctrl-C ends it.`, url)
}

// demoWorkerCmd is the worker process that the demo kills.
type demoWorkerCmd struct {
	URL string `arg:""`
}

// Run serves until ctx ends.
func (c demoWorkerCmd) Run(ctx context.Context, e *environment) error {
	return guide.RunWorker(ctx, c.URL, e.logger())
}
