package torture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/internal/clock"
	"github.com/natsasync/natsasync/internal/torture/history"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Role is what a process of a run is to be, as it is told on its command line. It lives no longer than its standard
// input is open.
type Role struct {
	Part      string // worker or producer
	Name      string
	URL       string
	Dir       string // of the histories
	Number    int    // of a producer, from 1
	Producers int
	Seed      uint64
	Pace      time.Duration // of a producer, between two calls
	Clock     uint64        // seed of how far its clock is off, 0 for a right one
	Signed    bool          // it signs, and believes keys alone
}

// keepWrongTime sets the clock of this process off, and anew whenever it is told to.
func (r Role) keepWrongTime(log *history.Log) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, setClock)
	rng := rand.New(rand.NewPCG(r.Clock, 0))
	set := func() {
		off := 24 * time.Hour
		if rng.IntN(3) > 0 {
			off = time.Minute + time.Duration(rng.Int64N(int64(10*time.Minute)))
		}
		if rng.IntN(2) == 0 {
			off = -off
		}
		clock.Shift(off)
		log.Add(history.Event{Kind: history.Clock, Off: off})
	}
	set()
	go func() {
		for range told {
			set()
		}
	}()
}

// Play is the process. A worker ends with ctx; a producer too, after the answer to its last call.
func (r Role) Play(ctx context.Context) error {
	go func() { // the harness holds the other end
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	log, err := history.Open(r.Dir, r.Name)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	if r.Clock != 0 {
		r.keepWrongTime(log)
	}
	nc, err := nats.Connect(r.URL, nats.Name(r.Name), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.IgnoreDiscoveredServers(),
		nats.ReconnectJitter(50*time.Millisecond, 0), nats.RetryOnFailedConnect(true), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(3))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if r.Part == "producer" {
		return r.produce(ctx, js, log)
	}
	return r.work(ctx, js, log)
}

func (r Role) work(ctx context.Context, js jetstream.JetStream, log *history.Log) error {
	opening, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text, err := os.OpenFile(filepath.Join(r.Dir, r.Name+logSuffix), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = text.Close() }()
	trust, signer, err := r.trust()
	if err != nil {
		return err
	}
	w, err := consumer.New(opening, js, functions(log), consumer.Config{
		Queues: allQueues(r.Producers), Concurrency: 8, Trust: trust, Signer: signer, Name: r.Name, ShutdownTimeout: time.Second,
		Logger: slog.New(listener{slog.NewTextHandler(text, nil), log}),
	})
	if err != nil {
		return err
	}
	go func() {
		<-w.Ready()
		log.Add(history.Event{Kind: history.Ready})
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			log.Add(history.Event{Kind: history.Vitals, Goroutines: runtime.NumGoroutine(), Memory: m.Sys - m.HeapReleased})
			time.Sleep(vitalsEvery)
		}
	}()
	err = w.Run(ctx)
	log.Add(history.Event{Kind: history.Left})
	return err
}

const (
	logSuffix = ".log"
	// vitalsEvery is how often a worker tells how many goroutines it has and how much memory.
	vitalsEvery = time.Second
)

// listener writes into the history what a worker says about late attempts.
type listener struct {
	slog.Handler
	log *history.Log
}

func (l listener) Handle(ctx context.Context, record slog.Record) error {
	if record.Message == "reassigned" {
		e := history.Event{Kind: history.Reassigned}
		record.Attrs(func(a slog.Attr) bool {
			if a.Key == "id" {
				e.Job = a.Value.String()
			}
			return true
		})
		l.log.Add(e)
	}
	return l.Handler.Handle(ctx, record)
}

func (l listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	return listener{l.Handler.WithAttrs(attrs), l.log}
}

func (l listener) WithGroup(name string) slog.Handler {
	return listener{l.Handler.WithGroup(name), l.log}
}

// maxPending keeps queues so short that all is done soon after the last fault.
const maxPending = 20

// answerWithin is how long a producer waits for an answer before it sends a job again.
const answerWithin = 2 * time.Second

// produce queues jobs until ctx ends. What the process before it left open it leaves open too: its job may be there.
func (r Role) produce(ctx context.Context, js jetstream.JetStream, log *history.Log) error {
	opening, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	trust, signer, err := r.trust()
	if err != nil {
		return err
	}
	c, err := producer.New(opening, js, producer.Config{BindOnly: true, Trust: trust, Signer: signer, MaxPending: maxPending, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	log.Add(history.Event{Kind: history.Ready})
	rng := rand.New(rand.NewPCG(r.Seed, uint64(os.Getpid())))
	for ctx.Err() == nil {
		if rng.IntN(10) == 0 {
			r.commit(c, log, rng)
		} else {
			r.queue(c, log, draw(rng, r.Number), users[rng.IntN(len(users))])
		}
		time.Sleep(r.Pace/2 + rand.N(r.Pace))
	}
	return nil
}

// queue sends a job until it has an answer, always under the same ID.
func (r Role) queue(c *producer.Client, log *history.Log, next call, user task.User) {
	spec := next.call.Spec()
	id := task.NewID()
	spec.Options.ID = id
	log.Add(called(id, next, user))
	settle(log, []string{id}, func(ctx context.Context) error {
		_, err := producer.Enqueue(task.WithUser(ctx, user), c, task.CallOf[task.Raw](spec))
		return err
	})
}

// commit sends three jobs for one user at once.
func (r Role) commit(c *producer.Client, log *history.Log, rng *rand.Rand) {
	user := users[rng.IntN(len(users))]
	tx := c.Begin()
	var ids []string
	for range 3 {
		next := draw(rng, r.Number)
		spec := next.call.Spec()
		id := task.NewID()
		spec.Options.ID = id
		log.Add(called(id, next, user))
		if _, err := producer.Enqueue(task.WithUser(context.Background(), user), tx, task.CallOf[task.Raw](spec)); err != nil {
			log.Add(history.Event{Kind: history.Refused, Job: id, Err: err.Error()})
			continue
		}
		ids = append(ids, id)
	}
	settle(log, ids, tx.Commit)
}

func called(id string, next call, user task.User) history.Event {
	return history.Event{Kind: history.Called, Job: id, Task: next.task, Queue: next.queue, User: user.String(), Shape: &next.shape}
}

// settle sends until there is an answer.
func settle(log *history.Log, ids []string, send func(context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		err := send(ctx)
		cancel()
		kind, text := history.Accepted, ""
		switch {
		case errors.Is(err, producer.ErrUnknown):
			kind, text = history.Unknown, err.Error()
		case err != nil:
			kind, text = history.Refused, err.Error()
		}
		for _, id := range ids {
			log.Add(history.Event{Kind: kind, Job: id, Err: text})
		}
		if kind != history.Unknown {
			return
		}
	}
}

// running counts the functions that a worker is in, from its history.
type running struct {
	path   string
	offset int64
	inside int
}

func (r *running) look() (int, error) {
	file, err := os.Open(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the history: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(r.offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read the history: %w", err)
	}
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadString('\n')
		if err != nil { // the rest is not written yet
			return r.inside, nil
		}
		r.offset += int64(len(line))
		switch {
		case strings.Contains(line, `"ev":`+strconv.Quote(string(history.Start))):
			r.inside++
		case strings.Contains(line, `"ev":`+strconv.Quote(string(history.End))):
			r.inside--
		}
	}
}
