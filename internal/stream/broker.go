// Package stream is the only place that knows the names of streams, subjects and consumers. It makes what is missing
// (streams, declared queues, lanes, the keel), leaves what is right, and says by name what differs.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/task"
)

const (
	defaultLease   = 30 * time.Second
	minLease       = 100 * time.Millisecond
	defaultTimeout = 5 * time.Second
)

// Config says what Open makes or looks for. The zero value makes the namespace "natsasync" with no queue.
type Config struct {
	// Namespace is the first token of every subject. Defaults to DefaultNamespace.
	Namespace string
	// Queues are declared by Open.
	Queues []string
	// Lease is how long a worker may be silent before its job goes to another. It belongs to the namespace: whoever
	// makes the streams sets it, later another value is an error. Defaults to theirs, 30 s when they are made.
	Lease time.Duration
	// BindOnly makes nothing: what is missing is an error that names it.
	BindOnly bool
	// Signer signs what is published; nil signs nothing.
	Signer *task.Signer
	// Keys are those whose word counts for records and jobs; nil takes NATS's word.
	Keys *task.Keys
	// AnyReader lets a login read from any replica that has no right to ask the leaders, and looks at no stream but Jobs.
	// Not for workers.
	AnyReader bool
	// Bound says that the login may read the messages of one owner alone: it looks at no stream and asks no leader.
	Bound bool
	// Installation is that of the streams, for a login that may not look at them: then Open looks at nothing.
	Installation string
	// Replicas of the streams when they are made. Defaults to 3 in a cluster and to 1 elsewhere.
	Replicas int
	// Logger defaults to none.
	Logger *slog.Logger
}

// Broker is one namespace on one JetStream. It is safe for concurrent use and owns neither goroutines nor the
// connection. All its requests have a timeout of their own and are repeated, for as long as their context lives, while
// nobody answers; a right that this login lacks is an error that matches nats.ErrPermissionViolation.
type Broker struct {
	Names
	js           jetstream.JetStream
	nc           *nats.Conn
	prefix       string
	logger       *slog.Logger
	bindOnly     bool
	replicas     int
	calls        *calls
	lease        time.Duration
	installation string
	signer       *task.Signer
	keys         *task.Keys
	readers      readers
	clock        atomic.Pointer[reading]
	clockTold    atomic.Bool // that it is off
	told         told        // that they ask for too much

	markMu                 sync.Mutex
	marks                  marks // as this Broker looked last
	jobsSeen, outcomesSeen atomic.Uint64
}

// readers are the streams whose leaders this login may not ask.
type readers struct {
	ok bool
	of sync.Map
}

// Open checks the server and makes the streams and queues of cfg, or with BindOnly looks for them. Without a deadline
// in ctx it takes at most 5 s. What is there and wrong is ErrDiffers.
func Open(ctx context.Context, js jetstream.JetStream, cfg Config) (*Broker, error) {
	b, err := newBroker(js, cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if cfg.Installation != "" {
		b.installation = cfg.Installation
		return b, b.checkConnection(ctx)
	}
	if cfg.Bound && cfg.BindOnly {
		if err := b.checkConnection(ctx); err != nil {
			return nil, err
		}
		return b, b.readInstallation(ctx)
	}
	if err := b.checkServer(ctx); err != nil {
		return nil, err
	}
	if err := b.openStreams(ctx, cfg); err != nil {
		return nil, err
	}
	if err := b.PutKeel(ctx); err != nil {
		if !cfg.BindOnly {
			return nil, err
		}
		b.logger.DebugContext(ctx, "the keel is missing and this login may not put it back", "err", err)
	}
	if err := b.Declare(ctx, cfg.Queues...); err != nil {
		return nil, err
	}
	return b, nil
}

// Conn returns the connection that the Broker uses and does not own.
func (b *Broker) Conn() *nats.Conn { return b.nc }

// JetStream returns what Open was given.
func (b *Broker) JetStream() jetstream.JetStream { return b.js }

// Lease returns the AckWait of every lane.
func (b *Broker) Lease() time.Duration { return b.lease }

// Installation returns the ID that was made with the streams and stays with them.
func (b *Broker) Installation() string { return b.installation }

// Logger returns the logger of the Config, never nil.
func (b *Broker) Logger() *slog.Logger { return b.logger }

func newBroker(js jetstream.JetStream, cfg Config) (*Broker, error) {
	names, err := NewNames(cfg.Namespace)
	if err != nil {
		return nil, err
	}
	if cfg.Lease != 0 && cfg.Lease < minLease {
		return nil, fmt.Errorf(`stream: lease "%s": must be at least %s (0 takes the one of the namespace)`, cfg.Lease, minLease)
	}
	if cfg.Replicas < 0 || cfg.Replicas > 5 {
		return nil, fmt.Errorf(`stream: replicas "%d": must be 1 to 5 (0 takes 3 in a cluster, else 1)`, cfg.Replicas)
	}
	for _, queue := range cfg.Queues {
		if err := checkName("queue", queue); err != nil {
			return nil, err
		}
	}
	if cfg.Keys != nil {
		if err := cfg.Keys.Check(); err != nil {
			return nil, err
		}
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{
		Names:    names,
		js:       js,
		nc:       js.Conn(),
		prefix:   apiPrefix(js.Options()),
		logger:   logger,
		bindOnly: cfg.BindOnly,
		replicas: cfg.Replicas,
		signer:   cfg.Signer,
		keys:     cfg.Keys,
		readers:  readers{ok: cfg.AnyReader},
		calls:    newCalls(js.Conn()),
	}
	if cfg.Bound {
		for _, name := range []string{b.Jobs(), b.Later(), b.Outcomes()} {
			b.readers.of.Store(name, true)
		}
	}
	return b, nil
}

func apiPrefix(opts jetstream.JetStreamOptions) string {
	if opts.APIPrefix != "" {
		return strings.TrimSuffix(opts.APIPrefix, ".") + "."
	}
	if opts.Domain != "" {
		return "$JS." + opts.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

func (b *Broker) checkServer(ctx context.Context) error {
	if err := b.checkConnection(ctx); err != nil {
		return err
	}
	return b.checkJetStream(ctx)
}

func (b *Broker) checkConnection(ctx context.Context) error {
	if err := awaitConnection(ctx, b.nc); err != nil {
		return err
	}
	if version := b.nc.ConnectedServerVersion(); !recentEnough(version) {
		return fmt.Errorf("stream: server version %s: too old (natsasync needs nats-server 2.14 or later)", quote(version))
	}
	return nil
}

func awaitConnection(ctx context.Context, nc *nats.Conn) error {
	changes := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changes)
	if nc.IsConnected() {
		return nil
	}
	if nc.IsClosed() {
		return fmt.Errorf("stream: connection: %w (connect first)", nats.ErrConnectionClosed)
	}
	select {
	case status := <-changes:
		if status == nats.CLOSED {
			return fmt.Errorf("stream: connection: %w (connect first)", nats.ErrConnectionClosed)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stream: connection: no server at %s: %w (start one, or correct the address)", quote(strings.Join(nc.Servers(), ",")), context.Cause(ctx))
	}
}

func recentEnough(version string) bool {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(major)
	y, err2 := strconv.Atoi(minor)
	return err == nil && err2 == nil && (x > 2 || x == 2 && y >= 14)
}

// checkJetStream tells a server without JetStream, where nobody listens for the request, from one that is slow.
func (b *Broker) checkJetStream(ctx context.Context) error {
	method := "STREAM.INFO." + b.Jobs()
	for tries := 1; ; tries++ {
		once, cancel := context.WithTimeout(ctx, RequestTimeout)
		_, err := b.nc.RequestWithContext(once, b.prefix+method, nil)
		cancel()
		if !errors.Is(err, nats.ErrNoResponders) {
			return nil
		}
		if tries == 3 || !Sleep(ctx, jitter(250*time.Millisecond)) {
			return fmt.Errorf("stream: JetStream: %w", nobody(b.prefix+method))
		}
	}
}
