package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/natsasync/natsasync/task"
)

// sizes is how many jobs each measurement takes.
type sizes struct {
	wide, backlog, longBacklog, ofLong, queue, bulk, trips, wideSynced, serialSynced int
}

var (
	whole = sizes{wide: 20_000, backlog: 1000, longBacklog: 100_000, ofLong: 3000, queue: 5000, bulk: 50_000, trips: 400, wideSynced: 3000, serialSynced: 500}
	quick = sizes{wide: 2000, backlog: 200, longBacklog: 5000, ofLong: 200, queue: 300, bulk: 2000, trips: 30, wideSynced: 300, serialSynced: 50}
)

// patience is how long one side of one round may take.
const patience = 3 * time.Minute

// ground is what measurements run on.
type ground struct {
	inproc   bool
	dir      string
	profiles string
	profile  int  // number of the last one
	signed   bool // all is signed, and keys alone are believed
	forged   int  // messages with a signature that is not theirs, before each job
	sizes
}

// measurement compares two ways of doing the same.
type measurement struct {
	name, what string
	unit       string
	synced     bool
	target     target
	ours       func(context.Context) (float64, error)
	reference  func(context.Context) (float64, error)
	against    string // what the reference is
}

// target is what must hold.
type target struct {
	text  string
	holds func(ours, ratio float64) bool
}

func atLeast(ratio float64, more string) target {
	return target{fmt.Sprintf("≥ %.2f%s", ratio, more), func(_, r float64) bool { return r >= ratio }}
}

func atMost(ratio float64) target {
	return target{fmt.Sprintf("≤ %.2f", ratio), func(_, r float64) bool { return r <= ratio }}
}

func oursAtMost(n float64) target {
	return target{fmt.Sprintf("ours ≤ %.0f", n), func(ours, _ float64) bool { return ours <= n }}
}

func (g *ground) measurements() []measurement {
	const raw = "raw"
	all := []measurement{
		{
			name: "drain-parallel", what: "drain a lane of 1,000", unit: "jobs/s", target: atLeast(0.6, " (later 0.8)"), against: raw,
			ours: rate(g.wideDrain(g.profiled("drain-parallel", ourWorker), g.wide, false)), reference: rate(g.wideDrain(startRaw, g.wide, false)),
		},
		{
			name: "drain-serial", what: fmt.Sprintf("drain a lane of size 1, %s waiting", thousands(float64(g.backlog))), unit: "jobs/s", target: atLeast(0.85, ""), against: raw,
			ours: g.serialDrain(g.profiled("drain-serial", ourWorker)), reference: g.serialDrain(startRaw),
		},
		{
			name: "drain-serial-long", what: fmt.Sprintf("the same, %s waiting", thousands(float64(g.longBacklog))), unit: "jobs/s", target: atLeast(0.85, ""), against: raw,
			ours: g.longDrain(g.profiled("drain-serial-long", ourWorker)), reference: g.longDrain(startRaw),
		},
		{
			name: "growth", what: "ours, the long backlog ÷ the short one", unit: "jobs/s", target: atLeast(0.8, ""), against: "ours, short",
			ours: g.longDrain(ourWorker), reference: g.serialDrain(ourWorker),
		},
		{
			name: "queue", what: "queue one by one", unit: "jobs/s", target: atLeast(0.9, ""), against: "js.Publish",
			ours: g.queueing(ourQueue, g.queue), reference: g.queueing(rawQueue, g.queue),
		},
		{
			name: "queue-bulk", what: "queue in bulk", unit: "jobs/s", target: atLeast(0.6, ""), against: "raw, window 512, own reply handler",
			ours: g.queueing(ourBulk, g.bulk), reference: g.queueing(rawBulk, g.bulk),
		},
		{
			name: "queue-bulk-library", what: "queue in bulk", unit: "jobs/s", target: atLeast(0.6, ""), against: "js.PublishAsync, window 512",
			ours: g.queueing(ourBulk, g.bulk), reference: g.queueing(libraryBulk, g.bulk),
		},
		{
			name: "round-trip", what: "round trip, idle, p50", unit: "µs", target: atMost(1.4), against: raw,
			ours: g.queueing(ourTrips, g.trips), reference: g.queueing(rawTrips, g.trips),
		},
		{
			name: "drain-parallel-synced", what: "drain a lane of 1,000", unit: "jobs/s", synced: true, target: atLeast(0.6, " (later 0.8)"), against: raw,
			ours: rate(g.wideDrain(ourWorker, g.wideSynced, true)), reference: rate(g.wideDrain(startRaw, g.wideSynced, true)),
		},
		{
			name: "drain-serial-synced", what: "drain a lane of size 1", unit: "jobs/s", synced: true, target: atLeast(0.85, ""), against: raw,
			ours: g.syncedDrain(ourWorker), reference: g.syncedDrain(startRaw),
		},
	}
	const unsigned = "ours, unsigned"
	s := *g
	s.signed = true
	flooded := s
	flooded.forged = 1
	all = append(all, []measurement{
		{
			name: "drain-flooded", what: "the same, a forged message before each job", unit: "jobs/s", target: atLeast(0.25, ""), against: "ours, signed",
			ours: rate(flooded.wideDrain(ourWorker, g.wide, false)), reference: rate(s.wideDrain(ourWorker, g.wide, false)),
		},
		{
			name: "drain-parallel-signed", what: "drain a lane of 1,000, all signed and proved", unit: "jobs/s", target: atLeast(0.3, ""), against: unsigned,
			ours: rate(s.wideDrain(s.profiled("drain-parallel-signed", ourWorker), g.wide, false)), reference: rate(g.wideDrain(ourWorker, g.wide, false)),
		},
		{
			name: "drain-serial-signed", what: "drain a lane of size 1, all signed and proved", unit: "jobs/s", target: atLeast(0.4, ""), against: unsigned,
			ours: s.serialDrain(ourWorker), reference: g.serialDrain(ourWorker),
		},
		{
			name: "queue-signed", what: "queue one by one, signed", unit: "jobs/s", target: atLeast(0.6, ""), against: unsigned,
			ours: s.queueing(ourQueue, g.queue), reference: g.queueing(ourQueue, g.queue),
		},
		{
			name: "queue-bulk-signed", what: "queue in bulk, signed", unit: "jobs/s", target: atLeast(0.3, ""), against: unsigned,
			ours: s.queueing(ourBulk, g.bulk), reference: g.queueing(ourBulk, g.bulk),
		},
		{
			name: "queue-gateway", what: "queue one by one through a gateway, which signs", unit: "jobs/s", target: atLeast(0.3, ""), against: "ours, signed, direct",
			ours: s.queueing(gateQueue, g.queue), reference: s.queueing(ourQueue, g.queue),
		},
		{
			name: "round-trip-signed", what: "round trip, idle, p50, signed and proved", unit: "µs", target: atMost(2.5), against: unsigned,
			ours: s.queueing(ourTrips, g.trips), reference: g.queueing(ourTrips, g.trips),
		},
	}...)
	if g.inproc { // the server's allocations would be counted too
		return all
	}
	return append(all, measurement{
		name: "allocations", what: "allocations a job, the worker's process, drain of a lane of 1,000", unit: "a job", target: oursAtMost(25), against: raw,
		ours: allocs(g.wideDrain(ourWorker, g.wide, false)), reference: allocs(g.wideDrain(startRaw, g.wide, false)),
	})
}

func names() string {
	var all []string
	for _, m := range (&ground{}).measurements() {
		all = append(all, m.name)
	}
	return strings.Join(all, ", ")
}

func choose(all []measurement, only []string) ([]measurement, error) {
	if len(only) == 0 {
		return all, nil
	}
	var chosen []measurement
	for _, name := range only {
		i := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("only %q: there is no such measurement (there are %s)", name, names())
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// onSite gives fn a site of its own.
func onSite[T any](ctx context.Context, g *ground, synced bool, fn func(context.Context, *site) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it took more than %v", patience))
	defer cancel()
	s, err := openSite(ctx, g, synced)
	if err != nil {
		var none T
		return none, err
	}
	got, err := fn(ctx, s)
	return got, errors.Join(err, s.close())
}

func (g *ground) wideDrain(by side, n int, synced bool) func(context.Context) (drained, error) {
	return func(ctx context.Context) (drained, error) {
		return onSite(ctx, g, synced, func(ctx context.Context, s *site) (drained, error) {
			if err := s.fill(wideQuota, n); err != nil {
				return drained{}, err
			}
			return s.drain(ctx, by, wideQuota, n, true)
		})
	}
}

// serialDrain is the median of three drains of the short backlog on one site: one is over in a third of a second, and
// the first of a server that has just started is the slowest.
func (g *ground) serialDrain(by side) func(context.Context) (float64, error) {
	return g.serial(by, 3, g.backlog, g.backlog, false)
}

// longDrain takes the first of a long backlog.
func (g *ground) longDrain(by side) func(context.Context) (float64, error) {
	return g.serial(by, 1, g.longBacklog, g.ofLong, false)
}

func (g *ground) syncedDrain(by side) func(context.Context) (float64, error) {
	return g.serial(by, 1, g.serialSynced, g.serialSynced, true)
}

func (g *ground) serial(by side, times, backlog, n int, synced bool) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		return onSite(ctx, g, synced, func(ctx context.Context, s *site) (float64, error) {
			var rates []float64
			for range times {
				if err := s.fill(task.DefaultQuota, backlog); err != nil {
					return 0, err
				}
				d, err := s.drain(ctx, by, task.DefaultQuota, n, n == backlog)
				if err != nil {
					return 0, err
				}
				rates = append(rates, d.rate)
			}
			return median(rates), nil
		})
	}
}

func (g *ground) queueing(fn func(context.Context, *site, int) (float64, error), n int) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		return onSite(ctx, g, false, func(ctx context.Context, s *site) (float64, error) { return fn(ctx, s, n) })
	}
}

func rate(fn func(context.Context) (drained, error)) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		d, err := fn(ctx)
		return d.rate, err
	}
}

func allocs(fn func(context.Context) (drained, error)) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		d, err := fn(ctx)
		return d.allocs, err
	}
}

// rest is long enough that what a trip left behind, its ack above all, is over.
const rest = 2 * time.Millisecond

// trips returns the median of n calls of fn with a rest between, in microseconds. A tenth more is run before and not
// counted.
func trips(n int, fn func() error) (float64, error) {
	var took []float64
	for i := range n + n/10 {
		began := time.Now()
		if err := fn(); err != nil {
			return 0, err
		}
		if i >= n/10 {
			took = append(took, float64(time.Since(began).Nanoseconds())/1e3)
		}
		time.Sleep(rest)
	}
	return median(took), nil
}
