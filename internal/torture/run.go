// Package torture tries to break the guarantees: it starts a server, workers and producers as processes, kills, pauses,
// cuts off and confuses them, and has package check say what held.
package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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
)

// Options of a run. Program and Child are how to start this program as a process of the run: with Child and a [Role] as
// JSON; and with "server", "--store-dir" and "--port" as a server.
type Options struct {
	Program, Child string
	For            time.Duration
	Seed           uint64
	Faults         []string
	Workers        int
	Producers      int
	Lease          time.Duration
	Dir            string // where histories, logs and the store go; it must exist
	// Say is told what happens, a line at a time.
	Say func(format string, args ...any)
}

type harness struct {
	opts   Options
	dir    string
	log    *history.Log
	port   int
	server *child
	nc     *nats.Conn
	js     jetstream.JetStream
	broker *stream.Broker

	workers   []*worker
	producers []*source
	nemeses   sync.WaitGroup

	mu     sync.Mutex
	hired  int
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
	c, err := h.play(Role{Part: "worker", Name: name, URL: w.wire.url(), Dir: h.dir, Producers: h.opts.Producers})
	w.child, w.running = c, running{path: history.Path(h.dir, name)}
	return err
}

// source is a producer.
type source struct {
	number int
	wire   *wire
	child  *child
}

func (s *source) start(h *harness) error {
	var err error
	s.child, err = h.play(Role{
		Part: "producer", Name: fmt.Sprintf("producer-%d", s.number), URL: s.wire.url(), Dir: h.dir,
		Number: s.number, Producers: h.opts.Producers, Seed: h.opts.Seed, Pace: time.Duration(h.opts.Producers) * 40 * time.Millisecond,
	})
	return err
}

// Run makes a run and checks it. An error means that it could not be made.
func Run(ctx context.Context, opts Options) (*check.Report, error) {
	log, err := history.Open(opts.Dir, "nemesis")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	h := &harness{opts: opts, dir: opts.Dir, log: log}
	defer h.end()
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	opts.Say("%d workers and %d producers run; faults for %v", opts.Workers, opts.Producers, opts.For)
	evil, cancel := context.WithTimeout(ctx, opts.For)
	defer cancel()
	if err := h.torment(evil); err != nil {
		return nil, err
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
		Events: events, Records: records, Earlier: earlier, Limits: limits, Stuck: stuck, Lease: opts.Lease, Faults: opts.Faults,
	})
	leaks, err := h.leaks()
	r.Violations = append(r.Violations, leaks...)
	r.Breaches["secrets in logs"] = len(leaks)
	return r, err
}

// open starts everything.
func (h *harness) open(ctx context.Context) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a port for the server: %w", err)
	}
	h.port = free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	if err := h.serve(); err != nil {
		return err
	}
	address := "127.0.0.1:" + strconv.Itoa(h.port)
	h.nc, err = nats.Connect("nats://"+address, nats.Name("nemesis"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if h.js, err = jetstream.New(h.nc); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	opening, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	h.broker, err = stream.Open(opening, h.js, stream.Config{Queues: append(allQueues(h.opts.Producers), "default"), Lease: h.opts.Lease})
	if err != nil {
		return err
	}
	if err := h.broker.SetQuota(opening, queueLimited, stream.QuotaDefault, limit); err != nil {
		return err
	}
	for range h.opts.Workers {
		w := &worker{}
		if w.wire, err = newWire(address); err != nil {
			return err
		}
		h.workers = append(h.workers, w)
		if err := w.start(h); err != nil {
			return err
		}
	}
	for i := range h.opts.Producers {
		p := &source{number: i + 1}
		if p.wire, err = newWire(address); err != nil {
			return err
		}
		h.producers = append(h.producers, p)
		if err := p.start(h); err != nil {
			return err
		}
	}
	return nil
}

func (h *harness) serve() (err error) {
	h.server, err = h.spawn("server", "server", "--store-dir", filepath.Join(h.dir, "store"), "--port", strconv.Itoa(h.port), "--no-sync")
	return err
}

// end stops what still runs.
func (h *harness) end() {
	children := []*child{h.server}
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
	until := time.Now().Add(2*h.opts.Lease + 10*time.Second)
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

// records reads the whole stream of outcomes.
func (h *harness) records(ctx context.Context) ([]stream.Standing, error) {
	var all []stream.Standing
	for m, err := range h.broker.Range(ctx, h.broker.Outcomes(), "", 0) {
		if err != nil {
			return nil, err
		}
		if _, ok := h.broker.ParseOutcome(m.Subject); ok {
			all = append(all, h.broker.ReadStanding(m))
		}
	}
	return all, nil
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

// passing is what another fault may cause: nil. A drift that could not be made while the server was away is none.
func passing(err error) error {
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
		return nil
	}
	return err
}
