package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/seldom"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// Worker runs jobs. Make it with [New]; it does nothing before Run.
type Worker struct {
	cfg    Config
	log    *slog.Logger
	broker *stream.Broker
	reg    *registry.Registry

	slots     *slots
	parked    *places       // for whole jobs that may be parked
	followers *places       // the same for callbacks that were added late
	window    chan struct{} // a place for each outcome that is on its way
	hands     *hands
	running   sync.WaitGroup // deliveries that are being handled
	renewNow  chan struct{}  // of capacity 1
	lookNow   chan struct{}  // of capacity 1
	started   atomic.Bool
	ready     chan struct{}

	mu    sync.Mutex
	jobs  map[string]*delivery // what is being handled, by fence
	lanes map[string]*puller   // by consumer

	// work ends when running handlers must stop: at a hard shutdown.
	work     context.Context
	stopWork context.CancelCauseFunc
	// books ends when Run gives up waiting: nothing is written after that.
	books      context.Context
	closeBooks context.CancelCauseFunc
	// taking ends when Run is told to stop: nothing new is started then.
	taking context.Context

	refusals seldom.Lines
	rejected atomic.Int64              // messages that were put aside
	keysErr  atomic.Pointer[error]     // why nobody is believed
	suspect  map[string]string         // what differed at the last look, by consumer; only watchLanes uses it
	lastLook atomic.Pointer[time.Time] // when the lanes were last seen
	lookErr  atomic.Pointer[error]
	homeless atomic.Bool  // a record found no stream
	stuck    atomic.Int64 // how many functions go on although their contexts have ended
}

// New checks the configuration and the server, and makes what is missing: streams,
// queues and lanes, unless BindOnly. It needs a server and says so within ctx, 5 s by
// default. The registry takes no more registrations afterwards.
func New(ctx context.Context, js jetstream.JetStream, reg *registry.Registry, cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if js == nil {
		return nil, errors.New("consumer: jetstream: it is nil (make one with jetstream.New)")
	}
	if reg == nil || len(reg.Names()) == 0 {
		return nil, errors.New("consumer: registry: it knows no task (register one with registry.Handle)")
	}
	broker, err := stream.Open(ctx, js, stream.Config{
		Namespace: cfg.Namespace, Queues: cfg.Queues, Lease: cfg.Lease, BindOnly: cfg.BindOnly, Logger: cfg.Logger,
		Signer: cfg.Signer, Keys: task.KeysOf(cfg.Trust),
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if err := checkMarks(ctx, broker); err != nil {
		return nil, err
	}
	if n := js.Conn().Opts.MaxReconnect; n >= 0 && js.Conn().Opts.AllowReconnect {
		cfg.Logger.WarnContext(ctx, "the connection gives up after some tries to reconnect, and the worker with it (connect with nats.MaxReconnects(-1))", "tries", n)
	}
	reg.Seal()
	w := &Worker{
		cfg: cfg, log: cfg.Logger, broker: broker, reg: reg,
		slots:     newSlots(cfg.Concurrency),
		parked:    newPlaces(cfg.Parked),
		followers: newPlaces(cfg.Parked),
		window:    make(chan struct{}, max(2*cfg.Concurrency, 64)),
		hands:     newHands(),
		ready:     make(chan struct{}),
		renewNow:  make(chan struct{}, 1),
		lookNow:   make(chan struct{}, 1),
		jobs:      make(map[string]*delivery),
		lanes:     make(map[string]*puller),
		suspect:   make(map[string]string),
	}
	return w, nil
}

// Name returns how the worker signs its records.
func (w *Worker) Name() string { return w.cfg.Name }

// Ready is closed once the worker takes jobs from all its lanes.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// errShutdown is the cause of a handler's context that ended with the worker.
var errShutdown = errors.New("consumer: the worker shuts down")

// Run takes jobs and runs them until ctx ends. Then it takes no more, lets what runs
// finish within ShutdownTimeout, gives the rest back to its place and returns nil. It
// outlives any outage of the server. It may be called once. An error means that
// handlers did not return although their contexts had ended, that the server was away and
// outcomes could not be recorded, that the connection was closed for good, or that the
// server has lost what it had accepted: then nothing is taken until an operator has looked.
func (w *Worker) Run(ctx context.Context) error {
	if w.started.Swap(true) {
		return errors.New("consumer: Run was called before (make another Worker)")
	}
	outer := ctx
	ctx, stop := context.WithCancelCause(outer)
	defer stop(nil)
	w.taking = ctx
	w.work, w.stopWork = context.WithCancelCause(context.WithoutCancel(ctx))
	w.books, w.closeBooks = context.WithCancelCause(context.WithoutCancel(ctx))
	defer w.stopWork(errShutdown)
	defer w.closeBooks(errShutdown)

	service, err := w.serve()
	if err != nil {
		return fmt.Errorf("consumer: announce the worker: %w", err)
	}
	defer service()

	w.log.InfoContext(ctx, "worker starts", "queues", w.cfg.Queues, "tasks", len(w.reg.Names()), "concurrency", w.cfg.Concurrency, "lease", w.broker.Lease().String())
	w.tellTrust(ctx)
	var renewing sync.WaitGroup
	renew, stopRenewing := context.WithCancel(context.WithoutCancel(ctx))
	renewing.Go(func() { w.renewLeases(renew) })
	renewing.Go(func() { w.sweep(ctx) })
	renewing.Go(func() { w.watchMarks(ctx, stop) })
	renewing.Go(func() { w.watchConnection(ctx, stop) })
	w.watchLanes(ctx)
	w.log.InfoContext(ctx, "worker stops", "running", w.count())
	err = w.drain()
	stopRenewing()
	renewing.Wait()
	close(w.hands.off)
	if err == nil {
		w.hands.all.Wait()
	}
	if lost := context.Cause(ctx); errors.Is(lost, stream.ErrRegressed) || errors.Is(lost, errClosed) {
		err = errors.Join(fmt.Errorf("consumer: %w", lost), err)
	}
	w.log.InfoContext(ctx, "worker stopped")
	return err
}

// errClosed is for a connection that is not the worker's to open again.
var errClosed = fmt.Errorf("%w (connect with nats.MaxReconnects(-1), and close it after Run has returned)", nats.ErrConnectionClosed)

// watchConnection stops the worker when its connection is closed for good.
func (w *Worker) watchConnection(ctx context.Context, stop context.CancelCauseFunc) {
	nc := w.broker.Conn()
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	if !nc.IsClosed() {
		select {
		case <-ctx.Done():
			return
		case <-closed:
		}
	}
	w.log.ErrorContext(ctx, "the worker takes no more jobs", "err", errClosed)
	stop(errClosed)
}

// drain waits for what runs, first as it is, then with ended contexts.
func (w *Worker) drain() error {
	done := make(chan struct{})
	go func() {
		w.running.Wait()
		close(done)
	}()
	patience := time.NewTimer(w.cfg.ShutdownTimeout)
	defer patience.Stop()
	select {
	case <-done:
		return nil
	case <-patience.C:
	}
	w.stopWork(errShutdown)
	patience.Reset(max(w.cfg.ShutdownTimeout/4, 5*time.Second))
	select {
	case <-done:
		return nil
	case <-patience.C:
	}
	left := w.handlers()
	if left == 0 {
		left = w.count()
		w.log.Error("the server does not answer; what became of jobs is not recorded, and other workers get them when the lease is over", "jobs", left)
		return fmt.Errorf("consumer: what became of %d jobs could not be recorded, as the server did not answer, %v after the worker was told to stop (they run again when the lease is over)", left, w.cfg.ShutdownTimeout)
	}
	w.log.Error("handlers ignore that their contexts have ended; other workers get their jobs when the lease is over", "jobs", left)
	return fmt.Errorf("consumer: %d handlers did not return after their contexts had ended, %v after the worker was told to stop (a handler must heed its context)", left, w.cfg.ShutdownTimeout)
}

// handlers counts the functions that run.
func (w *Worker) handlers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, d := range w.jobs {
		if d.running.Load() != nil {
			n++
		}
	}
	return n
}

func (w *Worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.jobs)
}

// Health says whether the worker is connected, sees its lanes, and has a slot that no
// function holds whose context has ended; nil if so. Use it for a liveness probe. Without a deadline in ctx it takes at most 5 s.
func (w *Worker) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	nc := w.broker.Conn()
	if !nc.IsConnected() {
		return fmt.Errorf("consumer: not connected to NATS (%s)", nc.Status())
	}
	select {
	case <-w.ready:
	default:
		return errors.New("consumer: the worker does not take jobs yet (is Run called?)")
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("consumer: the server does not answer: %w", err)
	}
	if err := w.lookErr.Load(); err != nil && *err != nil {
		return *err
	}
	if age := time.Since(*w.lastLook.Load()); age > 3*laneLook {
		return fmt.Errorf("consumer: the lanes were last seen %v ago", age.Round(time.Second))
	}
	if err := w.keysErr.Load(); err != nil {
		return fmt.Errorf("consumer: no job is started: %w", *err)
	}
	if n := int(w.stuck.Load()); n >= w.cfg.Concurrency {
		return fmt.Errorf("consumer: all %d slots are held by functions that go on although their contexts have ended (a handler must heed its context)", n)
	}
	return nil
}
