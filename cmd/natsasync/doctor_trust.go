package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// trust compares whose word the workers of a queue take.
func (d *doctor) trust(workers []producer.Worker) {
	keys := slices.DeleteFunc(slices.Clone(workers), func(w producer.Worker) bool { return w.Trust != "keys" })
	switch {
	case len(workers) == 0:
	case len(keys) == len(workers):
		d.ok("trust", "all workers trust keys")
	case len(keys) == 0:
		d.found(finding{
			note, "trust", "workers take NATS's word for who queued a job",
			"whoever may publish to a queue can name any user, unless the login is bound to one", "sign jobs, and let workers trust keys: docs/security.md",
		})
	default:
		d.found(finding{
			warning, "trust", fmt.Sprintf("%d workers trust keys, and %d take NATS's word for who queued a job", len(keys), len(workers)-len(keys)),
			"what the ones put aside as forged the others run", "give all workers the same consumer.Config.Trust",
		})
	}
}

// heads looks at jobs near the head of a queue: in lanes that do not exist or never will, where only somebody who publishes by hand puts them, and unsigned.
func (d *doctor) heads(ctx context.Context, queue string, lanes []stream.Lane, workers []producer.Worker) error {
	known := map[string]bool{stream.LaneCallbacks: true, stream.LaneLater: true}
	for _, l := range lanes {
		if l.Queue == queue && l.Name != stream.LaneSystem {
			known[l.Name] = true
		}
	}
	stray := map[string]int{}
	var lost []uint64
	looked, unsigned := 0, 0
	for m, err := range d.b.Range(ctx, d.b.Jobs(), d.b.QueueFilter(queue), 0) {
		if err != nil {
			return err
		}
		if looked++; looked > jobsLooked {
			break
		}
		lane, rest, _ := strings.Cut(strings.TrimPrefix(m.Subject, strings.TrimSuffix(d.b.QueueFilter(queue), ">")), ".")
		switch {
		case rest == "", lane == stream.LaneSystem, task.CheckToken("lane", lane) != nil:
			lost = append(lost, m.Seq)
		case !known[lane]:
			stray[lane]++
		}
		if m.Header.Get(task.HeaderSignature) == "" {
			unsigned++
		}
	}
	if len(lost) > 0 {
		d.found(finding{
			critical, "lanes", fmt.Sprintf("%d messages of queue %s are on subjects that no lane can have, the first is message %d", len(lost), queue, lost[0]),
			"nobody takes them, and somebody publishes by hand", fmt.Sprintf("nats stream rmm %s %d", d.b.Jobs(), lost[0]),
		})
	}
	for lane, n := range stray {
		d.found(finding{
			critical, "lanes", fmt.Sprintf("%d jobs are in lane %s of queue %s, which does not exist", n, lane, queue),
			"nobody runs them", fmt.Sprintf("natsasync queue quota %s %s SIZE", queue, lane),
		})
	}
	believes := func(w producer.Worker) bool { return w.Trust == "keys" && slices.Contains(w.Queues, queue) }
	if unsigned > 0 && slices.ContainsFunc(workers, believes) {
		d.found(finding{
			warning, "trust", fmt.Sprintf("%d jobs near the head of queue %s are not signed, and its workers trust keys", unsigned, queue),
			"they are put aside, not run", "give their producer a Config.Signer; then natsasync rejected requeue",
		})
	}
	return nil
}
