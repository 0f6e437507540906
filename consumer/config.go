package consumer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/natsasync/natsasync/task"
)

// Defaults of a [Config].
const (
	DefaultConcurrency     = 10
	DefaultShutdownTimeout = 30 * time.Second
	DefaultParked          = 1000
	DefaultUnknownGrace    = 15 * time.Minute
)

// maxLease is how long the jobs of a worker that has died may stay with it.
const maxLease = 24 * time.Hour

// Config says which jobs a worker takes. Only Trust must be set.
type Config struct {
	// Queues are the queues whose jobs this worker runs; those that are not declared
	// yet are, unless BindOnly. Defaults to "default".
	Queues []string
	// Concurrency is the number of slots: how many handlers run at once in this
	// worker, over all its queues, not counting those that wait for other jobs. Defaults
	// to 10.
	Concurrency int
	// Trust says whose word this worker takes for who queued a job, and for what other
	// workers recorded. It has no default: set task.TrustFile or task.TrustKeys to take
	// that of known keys, or task.TrustBroker to take what NATS let through.
	Trust task.Trust
	// Signer signs what this worker records, and what follows from its jobs. With keys in
	// Trust it must be set, and be among them. Defaults to none.
	Signer *task.Signer
	// Lease is how long a worker may be out of reach before its jobs go to another. It
	// belongs to the namespace: 0 takes what is there, 30 s when it is made, and
	// another value than theirs is an error that names both. At most 24 hours.
	Lease time.Duration
	// ShutdownTimeout is how long running jobs may go on after Run's context has
	// ended. Then their contexts end, and what was not finished goes back to its place;
	// handlers have a quarter more, at least 5 s, to return. Defaults to 30 s.
	ShutdownTimeout time.Duration
	// Parked is how many whole jobs may wait for others at once in this worker: they
	// hold no slot. Callbacks that were added late have as many places of their own.
	// When all places are taken, a user's job gets one of the user who has most, if those
	// have at least twice as many then; the job that had it goes back to its place in
	// the lane and waits for another. Defaults to 1,000.
	Parked int
	// UnknownGrace is how long a job of a task that no worker knows waits for one that
	// does, from when it was first seen; then it fails with task.ErrNoSuchTask. In a
	// lane of size 1 it keeps its place meanwhile. Defaults to 15 minutes.
	UnknownGrace time.Duration
	// Namespace is the first token of all subjects. Defaults to "natsasync".
	Namespace string
	// BindOnly makes no streams, queues and lanes: what is missing is an error.
	BindOnly bool
	// Name is how this worker signs its records. Defaults to host, process ID and a
	// random part; two workers must not share one.
	Name string
	// Logger takes what happens. Defaults to zerolog on stderr, from info up. Inputs and
	// results are never logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Trust == nil {
		return c, errors.New("consumer: trust is not set: a worker must say whose word it takes for who queued a job (set Config.Trust: task.TrustFile(\"keys.json\"), or task.TrustBroker to take what NATS lets through)")
	}
	if len(c.Queues) == 0 {
		c.Queues = []string{task.DefaultQueue}
	}
	for _, q := range c.Queues {
		if err := task.CheckToken("queue", q); err != nil {
			return c, fmt.Errorf("consumer: %w", err)
		}
	}
	if keys := task.KeysOf(c.Trust); keys != nil {
		if c.Signer == nil {
			return c, errors.New("consumer: signer is not set: a worker that trusts keys must sign what it records, or nobody who trusts keys believes it (set Config.Signer: task.SignerFromFile)")
		}
		if err := keys.CheckWorker(c.Signer, c.Queues); err != nil {
			return c, fmt.Errorf("consumer: signer: %w", err)
		}
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Concurrency < 1 || c.Concurrency > 100_000 {
		return c, fmt.Errorf("consumer: concurrency %d: it must be 1 to 100,000, or 0 for %d", c.Concurrency, DefaultConcurrency)
	}
	if c.Parked == 0 {
		c.Parked = DefaultParked
	}
	if c.Parked < 1 {
		return c, fmt.Errorf("consumer: parked %d: it must be at least 1, or 0 for %d", c.Parked, DefaultParked)
	}
	if c.Lease > maxLease {
		return c, fmt.Errorf("consumer: lease %v: it must be at most %v (0 takes the one of the namespace)", c.Lease, maxLease)
	}
	for _, d := range [...]struct {
		field string
		value *time.Duration
		def   time.Duration
	}{{"shutdown timeout", &c.ShutdownTimeout, DefaultShutdownTimeout}, {"unknown grace", &c.UnknownGrace, DefaultUnknownGrace}} {
		if *d.value == 0 {
			*d.value = d.def
		}
		if *d.value < 0 {
			return c, fmt.Errorf("consumer: %s %v: it must be positive, or 0 for %v", d.field, *d.value, d.def)
		}
	}
	if c.Name == "" {
		c.Name = defaultName()
	}
	if len(c.Name) > 2*task.MaxName || !utf8.ValidString(c.Name) || strings.ContainsFunc(c.Name, unfit) {
		return c, fmt.Errorf("consumer: name %s: it must be UTF-8 without spaces and control characters, of at most %d bytes", task.Quote(c.Name), 2*task.MaxName)
	}
	if c.Logger == nil {
		c.Logger = slog.New(zerolog.NewSlogHandler(zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger()))
	}
	c.Logger = c.Logger.With("worker", c.Name)
	return c, nil
}

// unfit says whether r cannot be in a worker's name, which stands in records and log lines.
func unfit(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }

func defaultName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "worker"
	}
	host = strings.Map(func(r rune) rune {
		if unfit(r) || r == utf8.RuneError {
			return '-'
		}
		return r
	}, host)
	var random [4]byte
	_, _ = rand.Read(random[:])
	return fmt.Sprintf("%.64s-%d-%s", strings.ToValidUTF8(host, "-"), os.Getpid(), hex.EncodeToString(random[:]))
}
