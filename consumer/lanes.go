package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

// laneLook is how often a worker compares what it pulls from with what there is.
const laneLook = 10 * time.Second

// lookAgain is when a lane that differs is looked at once more before it is left alone: a
// quota that is being changed differs for a moment.
const lookAgain = 2 * time.Second

// watchLanes keeps one puller for each lane of the worker's queues until ctx ends, and
// closes them.
func (w *Worker) watchLanes(ctx context.Context) {
	var subs []*nats.Subscription
	for _, q := range w.cfg.Queues {
		sub, err := w.broker.Conn().Subscribe(w.broker.LanesEvent(q), func(*nats.Msg) { w.nudge() })
		if err != nil {
			w.log.WarnContext(ctx, "listen for new lanes; they are found within ten seconds", "queue", q, "err", err)
			continue
		}
		subs = append(subs, sub)
	}
	subs = append(subs, w.watchCancelled(ctx)...)
	var pulling sync.WaitGroup
	for ctx.Err() == nil {
		w.look(ctx, &pulling)
		pause := time.NewTimer(laneLook - time.Duration(rand.Int64N(int64(laneLook/5))))
		select {
		case <-ctx.Done():
		case <-w.lookNow:
			// Several changes often come together, and a deleted consumer is found by each pull.
			settle := time.NewTimer(50 * time.Millisecond)
			select {
			case <-ctx.Done():
			case <-settle.C:
			}
			settle.Stop()
		case <-pause.C:
		}
		pause.Stop()
	}
	for _, sub := range subs {
		_ = sub.Unsubscribe()
	}
	pulling.Wait()
}

// look starts pullers for lanes that are new, stops those of lanes that are gone or
// wrong, and makes again what is missing.
func (w *Worker) look(ctx context.Context, pulling *sync.WaitGroup) {
	once, cancel := context.WithTimeout(ctx, laneLook)
	defer cancel()
	var problems []error
	want, unseen := map[string]stream.Lane{}, map[string]bool{}
	lanes, refused, err := w.broker.Restore(once, w.cfg.Queues)
	if err != nil {
		problems = append(problems, err)
		for _, q := range w.cfg.Queues {
			unseen[q] = true
		}
	}
	for _, q := range slices.Sorted(maps.Keys(refused)) {
		problems = append(problems, refused[q])
		unseen[q] = true
	}
	for _, l := range lanes {
		if unseen[l.Queue] {
			continue
		}
		name := stream.Consumer(l.Queue, l.Name)
		diffs := strings.Join(w.broker.Differs(l), "; ")
		if diffs != "" && w.suspect[name] == diffs {
			problems = append(problems, fmt.Errorf("consumer: lane %s is left alone, its consumer is not as it must be: %s", name, diffs))
			continue
		}
		if w.suspect[name] = diffs; diffs != "" {
			time.AfterFunc(lookAgain, w.nudge)
			if !w.pulls(name) {
				continue
			}
		}
		want[name] = l
	}
	if err := w.broker.EnsureDue(once); err != nil {
		problems = append(problems, fmt.Errorf("consumer: the lane of jobs whose time has come: %w", err))
	}
	if ctx.Err() != nil {
		return
	}
	err = errors.Join(problems...)
	if w.homeless.Swap(false) || errors.Is(err, jetstream.ErrStreamNotFound) {
		w.remake(once)
	}
	w.report(ctx, err)
	w.lookErr.Store(&err)
	if len(unseen) < len(w.cfg.Queues) {
		now := time.Now()
		w.lastLook.Store(&now)
	}
	w.match(ctx, want, unseen, pulling)
	w.refusedLanes(once)
}

// missStreams has the streams looked for, and made again, at once.
func (w *Worker) missStreams() {
	w.homeless.Store(true)
	w.nudge()
}

// remake makes streams again that were deleted while the worker ran, unless it may only bind.
func (w *Worker) remake(ctx context.Context) {
	if w.cfg.BindOnly {
		return
	}
	if err := w.broker.Remake(ctx); err != nil {
		w.log.WarnContext(ctx, "make the streams again that are gone", "err", err)
		return
	}
	w.nudge()
}

// nudge has the lanes looked at now.
func (w *Worker) nudge() {
	select {
	case w.lookNow <- struct{}{}:
	default:
	}
}

// pulls says whether there is a puller for a lane.
func (w *Worker) pulls(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lanes[name] != nil
}

// report logs what is wrong with the lanes, once for each change.
func (w *Worker) report(ctx context.Context, err error) {
	var before, now string
	if last := w.lookErr.Load(); last != nil && *last != nil {
		before = (*last).Error()
	}
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == before:
	case now == "":
		w.log.InfoContext(ctx, "all lanes are there again")
	default:
		w.log.ErrorContext(ctx, "lanes", "err", err)
	}
}

// match keeps the pullers of queues that could not be seen: in an outage they know how to
// go on.
func (w *Worker) match(ctx context.Context, want map[string]stream.Lane, unseen map[string]bool, pulling *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, p := range w.lanes {
		l, keep := want[name]
		if keep && l.Created.Equal(p.created) {
			p.size.Store(int64(l.Size))
			continue
		}
		if p.stream == w.broker.Later() || unseen[p.queue] {
			continue
		}
		p.stop()
		delete(w.lanes, name)
	}
	scarce := w.cfg.Concurrency < len(want)
	start := func(p *puller) {
		w.lanes[p.consumer] = p
		p.scarce.Store(scarce && p.stream == w.broker.Jobs())
		pulling.Go(func() { p.run(ctx) })
	}
	if _, there := w.lanes[stream.DueConsumer]; !there {
		start(newDuePuller(w))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, there := w.lanes[name]; !there {
			start(newLanePuller(w, want[name]))
		}
	}
	for _, p := range w.lanes {
		if p.stream == w.broker.Jobs() {
			p.scarce.Store(scarce)
		}
	}
	if len(unseen) == 0 {
		select {
		case <-w.ready:
		default:
			close(w.ready)
		}
	}
}
