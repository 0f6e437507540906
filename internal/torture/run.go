// Package torture tries to break the guarantees: it starts a server, workers and producers as processes, kills, pauses,
// cuts off and confuses them, and has package check say what held.
package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/internal/torture/check"
	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/task"
)

// Options of a run. Program, Child and Node are how to start this program as a process of the run: with Child and a
// [Role] as JSON, or with Node and a [Node] as JSON.
type Options struct {
	Program, Child, Node string
	// Nodes is how many servers there are: 1, or 3 or 5 as a cluster.
	Nodes     int
	For       time.Duration
	Seed      uint64
	Faults    []string
	Workers   int
	Producers int
	Lease     time.Duration
	// Signed has producers and workers sign all that they send, and believe keys alone.
	Signed bool
	Dir    string // where histories, logs and the store go; it must exist
	// Say is told what happens, a line at a time.
	Say func(format string, args ...any)
}

type harness struct {
	opts   Options
	dir    string
	log    *history.Log
	nodes  []*node
	nc     *nats.Conn
	js     jetstream.JetStream
	broker *stream.Broker

	workers   []*worker
	producers []*source
	nemeses   sync.WaitGroup

	mu     sync.Mutex
	hired  int
	clocks int
	failed error
}

// worker is a place for a worker process: another one comes after each that dies.
type worker struct {
	wire    *wire
	child   *child
	running running
	taken   sync.Mutex // by a fault
}

func (w *worker) free() { w.taken.Unlock() }

func (w *worker) start(h *harness) error {
	h.mu.Lock()
	h.hired++
	name := "worker-" + strconv.Itoa(h.hired)
	h.mu.Unlock()
	c, err := h.play(Role{Part: "worker", Name: name, URL: w.wire.url(), Dir: h.dir, Producers: h.opts.Producers, Clock: h.clock(), Signed: h.opts.Signed})
	w.child, w.running = c, running{path: history.Path(h.dir, name)}
	return err
}

// source is a producer.
type source struct {
	number int
	wire   *wire
	child  *child
	taken  sync.Mutex // by a fault
}

func (s *source) start(h *harness) error {
	var err error
	s.child, err = h.play(Role{
		Part: "producer", Name: fmt.Sprintf("producer-%d", s.number), URL: s.wire.url(), Dir: h.dir,
		Number: s.number, Producers: h.opts.Producers, Seed: h.opts.Seed, Clock: h.clock(), Signed: h.opts.Signed, Pace: time.Duration(h.opts.Producers) * 40 * time.Millisecond,
	})
	return err
}

// clock is the seed of a process's clock, 0 if clocks are to go right.
func (h *harness) clock() uint64 {
	if !slices.Contains(h.opts.Faults, check.FaultClock) {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clocks++
	return h.opts.Seed<<20 + uint64(h.clocks)
}

// Run makes a run and checks it. An error means that it could not be made.
func Run(ctx context.Context, opts Options) (*check.Report, error) {
	if !possible {
		return nil, errors.New("torture: this system has no signals to pause a process with (run it on Linux or macOS)")
	}
	log, err := history.Open(opts.Dir, "nemesis")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	h := &harness{opts: opts, dir: opts.Dir, log: log}
	defer h.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	opts.Say("%d workers and %d producers run; faults for %v", opts.Workers, opts.Producers, opts.For)
	evil, enough := context.WithTimeout(ctx, opts.For)
	defer enough()
	go h.watchStalls(ctx)
	if err := h.torment(evil); err != nil {
		return nil, err
	}
	if slices.Contains(opts.Faults, check.FaultKill) {
		if err := h.calmKills(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("the run was interrupted: %w", context.Cause(ctx))
	}
	earlier, err := h.records(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range h.producers { // each ends after the answer to its last job
		p.child.signal(syscall.SIGTERM)
	}
	for _, p := range h.producers {
		<-p.child.gone
	}
	opts.Say("the faults are over; waiting for the jobs that are left")
	stuck, err := h.drain(ctx)
	if err != nil {
		return nil, err
	}
	h.log.Add(history.Event{Kind: history.Idle})
	_ = stream.Sleep(ctx, 2*vitalsEvery) // until each worker has told how it is
	records, err := h.records(ctx)
	if err != nil {
		return nil, err
	}
	events, err := history.Read(h.dir)
	if err != nil {
		return nil, err
	}
	limits := map[string]int{queueLimited: limit}
	for i := range opts.Producers {
		limits[serialQueue(i+1)] = 1
	}
	r := check.Of(check.Run{
		Events: events, Records: records, Earlier: earlier, Limits: limits, Stuck: stuck, Patience: h.patience(), Lease: opts.Lease, Faults: opts.Faults,
	})
	leaks, err := h.leaks()
	r.Violations = append(r.Violations, leaks...)
	r.Breaches["secrets in logs"] = len(leaks)
	return r, err
}

// open starts everything.
func (h *harness) open(ctx context.Context) error {
	addresses, err := h.serve()
	if err != nil {
		return err
	}
	h.nc, err = nats.Connect(strings.Join(addresses, ","), nats.Name("nemesis"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if h.js, err = jetstream.New(h.nc); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	opening, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := h.await(opening); err != nil {
		return err
	}
	var keys *task.Keys
	if h.opts.Signed {
		if err := writeKeys(h.dir); err != nil {
			return err
		}
		keys = task.TrustFile(filepath.Join(h.dir, keyFile))
	}
	h.broker, err = stream.Open(opening, h.js, stream.Config{Keys: keys, Queues: append(allQueues(h.opts.Producers), "default"), Lease: h.opts.Lease, Replicas: min(h.opts.Nodes, 3)})
	if err != nil {
		return err
	}
	if err := h.broker.SetQuota(opening, queueLimited, stream.QuotaDefault, limit); err != nil {
		return err
	}
	for range h.opts.Workers {
		w := &worker{}
		if w.wire, err = newWire(addresses); err != nil {
			return err
		}
		h.workers = append(h.workers, w)
		if err := w.start(h); err != nil {
			return err
		}
	}
	for i := range h.opts.Producers {
		p := &source{number: i + 1}
		if p.wire, err = newWire(addresses); err != nil {
			return err
		}
		h.producers = append(h.producers, p)
		if err := p.start(h); err != nil {
			return err
		}
	}
	return nil
}

// end stops what still runs.
func (h *harness) end() {
	var children []*child
	for _, n := range h.nodes {
		children = append(children, n.child)
	}
	for _, w := range h.workers {
		children = append(children, w.child)
	}
	for _, p := range h.producers {
		children = append(children, p.child)
	}
	for _, c := range children {
		if c != nil {
			c.kill()
		}
	}
	for _, w := range h.workers {
		w.wire.close()
	}
	for _, p := range h.producers {
		p.wire.close()
	}
	if h.nc != nil {
		h.nc.Close()
	}
}

// drain waits until no job is left, and returns the IDs of those that are when it takes too long.
func (h *harness) drain(ctx context.Context) ([]string, error) {
	until := time.Now().Add(h.patience())
	for {
		var left []string
		for _, at := range []string{h.broker.Jobs(), h.broker.Later()} {
			for m, err := range h.broker.Range(ctx, at, "", 0) {
				if err != nil {
					return nil, err
				}
				if job, ok := h.broker.ParseJob(m.Subject); ok {
					left = append(left, job.ID)
				} else if job, ok := h.broker.ParseLater(m.Subject); ok {
					left = append(left, job.ID)
				}
			}
		}
		if len(left) == 0 || time.Now().After(until) {
			slices.Sort(left)
			return slices.Compact(left), nil
		}
		if !stream.Sleep(ctx, 200*time.Millisecond) {
			return nil, context.Cause(ctx)
		}
	}
}

// patience is within what all must have ended after the last fault. A cluster may need some seconds for a new leader.
func (h *harness) patience() time.Duration {
	if h.opts.Nodes > 1 {
		return 2*h.opts.Lease + 25*time.Second
	}
	return 2*h.opts.Lease + 10*time.Second
}

// records reads the whole stream of outcomes, once the replica that answers has all that the leader has.
func (h *harness) records(ctx context.Context) ([]stream.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		all, last, err := h.readRecords(ctx)
		if err != nil {
			return nil, err
		}
		info, err := h.js.Stream(ctx, h.broker.Outcomes())
		if err == nil && (h.opts.Nodes == 1 || last >= info.CachedInfo().State.LastSeq) {
			return all, nil
		}
		if !stream.Sleep(ctx, 300*time.Millisecond) {
			return nil, fmt.Errorf("read the outcomes: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

func (h *harness) readRecords(ctx context.Context) (all []stream.Standing, last uint64, err error) {
	for m, err := range h.broker.Range(ctx, h.broker.Outcomes(), "", 0) {
		if err != nil {
			return nil, 0, err
		}
		last = m.Seq
		if _, ok := h.broker.ParseOutcome(m.Subject); ok {
			all = append(all, h.broker.ReadStanding(m))
		}
	}
	return all, last, nil
}

// leaks finds inputs in what workers and servers said.
func (h *harness) leaks() ([]check.Violation, error) {
	files, err := os.ReadDir(h.dir)
	if err != nil {
		return nil, fmt.Errorf("look for secrets: %w", err)
	}
	var all []check.Violation
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), logSuffix) && !strings.HasSuffix(f.Name(), ".out") {
			continue
		}
		body, err := os.ReadFile(filepath.Join(h.dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("look for secrets: %w", err)
		}
		if i := bytes.Index(body, []byte(mark)); i >= 0 {
			all = append(all, check.Violation{Invariant: "secrets in logs", What: fmt.Sprintf("%s holds an input, at byte %d", f.Name(), i)})
		}
	}
	return all, nil
}

func (h *harness) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
}

func (h *harness) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}
