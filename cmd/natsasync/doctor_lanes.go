package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// lanes compares consumers with what their lanes need, and queues with the workers that answer.
func (d *doctor) lanes(ctx context.Context) error {
	lanes, err := d.b.Lanes(ctx, "")
	if err != nil {
		return err
	}
	queues, err := d.b.Queues(ctx)
	if err != nil {
		return err
	}
	workers, err := d.client.Workers(ctx)
	unknown := errors.Is(err, nats.ErrPermissionViolation)
	if err != nil && !unknown {
		return err
	}
	wrong := 0
	for _, lane := range lanes {
		if diffs := d.b.Differs(lane); len(diffs) > 0 {
			wrong++
			fix := fmt.Sprintf("nats consumer edit %s %s", d.b.Jobs(), lane.Info.Name)
			if lane.Quota > 0 && lane.Size != lane.Quota {
				fix = fmt.Sprintf("natsasync queue quota %s %s %d", lane.Queue, lane.Name, lane.Quota)
			}
			d.found(finding{
				critical, "lanes", fmt.Sprintf("lane %s of queue %s: %s", lane.Name, lane.Queue, strings.Join(diffs, "; ")),
				"workers take nothing from it until it is put right", fix,
			})
		}
	}
	d.unserved(lanes, workers)
	for _, queue := range queues {
		if err := d.heads(ctx, queue, lanes, workers); err != nil {
			return err
		}
		for _, name := range []string{stream.QuotaDefault, stream.LaneFree, stream.LaneSystem} {
			if !slices.ContainsFunc(lanes, func(l stream.Lane) bool { return l.Queue == queue && l.Name == name }) {
				wrong++
				d.found(finding{
					critical, "lanes", fmt.Sprintf("lane %s of queue %s is not there", name, queue),
					"its jobs wait until a worker makes it again, within 10 s", "natsasync init " + queue,
				})
			}
		}
	}
	if wrong == 0 {
		d.ok("lanes", "%d are as they must be", len(lanes))
	}
	if unknown {
		d.found(finding{note, "workers", err.Error(), "", ""})
	} else if err := d.workers(ctx, queues, workers); err != nil {
		return err
	}
	d.line()
	d.account(ctx)
	return nil
}

// unserved finds lanes that nobody asks for their jobs though their queues have workers. What their logins may only they know.
func (d *doctor) unserved(lanes []stream.Lane, workers []producer.Worker) {
	for _, l := range lanes {
		worked := slices.ContainsFunc(workers, func(w producer.Worker) bool { return slices.Contains(w.Queues, l.Queue) })
		if !worked || l.Info.Paused || l.Info.NumPending == 0 || l.Info.NumAckPending > 0 || l.Info.NumWaiting > 0 {
			continue
		}
		d.found(finding{
			warning, "lanes", fmt.Sprintf("%d jobs wait in lane %s of queue %s, none of them runs, and no worker asks for them", l.Info.NumPending, l.Name, l.Queue),
			"the slots of the queue's workers are all taken, or their logins may not take from a quota that came later: their logs say so",
			fmt.Sprintf("for those: natsasync auth setup again with --quota NAME=%s, docs/security.md", l.Name),
		})
	}
}

func (d *doctor) workers(ctx context.Context, queues []string, workers []producer.Worker) error {
	for _, queue := range queues {
		if slices.ContainsFunc(workers, func(w producer.Worker) bool { return slices.Contains(w.Queues, queue) }) {
			continue
		}
		waiting, err := d.client.Queue(queue).Len(ctx)
		if err != nil {
			return err
		}
		if waiting == 0 {
			d.found(finding{note, "workers", fmt.Sprintf("no worker of queue %s answers, and nothing waits there", queue), "", ""})
			continue
		}
		d.found(finding{
			critical, "workers", fmt.Sprintf("no worker of queue %s answers; %d jobs wait", queue, waiting),
			"they wait until one comes", "start a worker with this queue, or look whether its account can be reached from here",
		})
	}
	d.ok("workers", "%d answer", len(workers))
	d.trust(workers)
	return nil
}

// Ages of a job that waits. Claims and outcomes are kept for 8 days.
const (
	oldAge     = 24 * time.Hour
	tooOldAge  = 6 * 24 * time.Hour
	jobsLooked = 1000 // of each queue, from its head
)

// jobs looks at the heads of the queues: for jobs that nobody knows, and that have waited for very long.
func (d *doctor) jobs(ctx context.Context) error {
	queues, err := d.b.Queues(ctx)
	if err != nil {
		return err
	}
	before := len(d.findings)
	for _, queue := range queues {
		if err := d.jobsOf(ctx, queue); err != nil {
			return err
		}
	}
	if len(d.findings) == before {
		d.ok("jobs", "none waits for an unknown task, or since yesterday")
	}
	return nil
}

func (d *doctor) jobsOf(ctx context.Context, queue string) error {
	unknown := map[string]int{}
	var oldest task.Status
	n := 0
	for st, err := range d.client.Queue(queue).Jobs(ctx, producer.JobFilter{}) {
		if err != nil {
			return err
		}
		if n++; n > jobsLooked {
			break
		}
		if st.State != task.StateScheduled && (oldest.ID == "" || st.Queued.Before(oldest.Queued)) {
			oldest = st
		}
		if st.State != task.StatePending {
			continue
		}
		standing, err := d.b.Standing(ctx, st.Queue, st.User.Owner(), st.ID)
		if err != nil {
			return err
		}
		if !unknownSince(standing).IsZero() {
			unknown[st.Task]++
		}
	}
	for name, n := range unknown {
		d.found(finding{
			warning, "tasks", fmt.Sprintf("%d jobs of queue %s are of the task %s, which no worker that looked knows", n, queue, name),
			"each fails when its grace time, 15 minutes by default, is over; in a lane of size 1 others wait behind it", "start a worker that handles " + name,
		})
	}
	switch age := d.b.Now().Sub(oldest.Queued).Round(time.Minute); {
	case oldest.ID == "" || age < oldAge:
	case age < tooOldAge:
		d.found(finding{
			warning, "age", fmt.Sprintf("job %s of queue %s has waited for %v", oldest.ID, queue, age), "the queue is longer than its workers can do",
			"natsasync job info " + oldest.ID,
		})
	default:
		d.found(finding{
			critical, "age", fmt.Sprintf("job %s of queue %s has waited for %v", oldest.ID, queue, age),
			"outcomes and claims are kept for 8 days: a job that began may begin anew, and a batch may lose its members' outcomes",
			"natsasync job info " + oldest.ID,
		})
	}
	return nil
}
