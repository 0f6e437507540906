package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Config says how a Client queues. The zero value is ready to use.
type Config struct {
	// Queues are declared by New beside "default": made if they are missing, else left as
	// they are. With BindOnly they are looked for. Defaults to none.
	Queues []string

	// Signer signs what the client queues, cancels and tries again, so that workers which
	// trust keys believe it. Its key must be allowed to speak for the users of the calls.
	// Defaults to none.
	Signer *task.Signer

	// Trust says whose word counts for how jobs ended: with task.TrustFile or
	// task.TrustKeys, outcomes that others signed are not there, and a job or cancellation
	// that Signer may not sign is refused before it is sent. Defaults to task.TrustBroker,
	// what NATS let through.
	Trust task.Trust

	// Before is asked about every call that the client queues, alone or in a Tx, after
	// the call was checked and before anything is sent. Its error refuses the call and is
	// returned wrapped. It is not asked about calls queued with Within. Defaults to nil.
	Before func(ctx context.Context, call task.Spec) error

	// MaxPending is how many jobs of a queue may wait, scheduled ones too; more is
	// ErrQueueFull. The number is read at most once a second, so that it can be passed by
	// what is queued in a second. Reading it needs the right to list the consumers of jobs
	// and to look at the stream of scheduled ones, which New tries: logins of "natsasync
	// auth setup" for all users have it, those of one user have not, and through a Gateway
	// it is the gateway that counts. Defaults to 0: no limit.
	MaxPending int

	// Lease is how long a worker may be silent before its job goes to another. It belongs
	// to the namespace: whoever makes its streams sets it, later another value is an
	// error. Defaults to the one of the namespace, 30 s when that is made.
	Lease time.Duration

	// Namespace is the first token of every subject. Defaults to "natsasync".
	Namespace string

	// BindOnly makes nothing: what is missing is an error that names it. For logins that
	// may not make streams. Defaults to false.
	BindOnly bool

	// Installation is that of the streams, as their metadata have it, for a login that has
	// the right to publish jobs and no other: then New looks at nothing on the server. It
	// needs BindOnly. Defaults to what the streams say.
	Installation string

	// Gateway has calls queued by "natsasync gateway", for a login that may publish no jobs
	// itself: one by one, for the user of ctx, whose owner is in the subject that this login
	// may publish on. There is no Tx, nothing of a queue is known here, and what a handler
	// queues so names no parent. It needs BindOnly, and Installation if Trust is set.
	// Defaults to false.
	Gateway bool

	// Owner is the one user whose jobs this login may see, if NATS binds it to their
	// subjects, as "natsasync auth setup --waiter NAME=REALM:ID" does: then a job is looked
	// for by its ID among theirs, of two queues it is the one that was stored last, and New
	// looks at no stream. Defaults to all users.
	Owner task.User

	// Logger gets what is worth knowing and no error of a call tells. Defaults to zerolog
	// on stderr at info.
	Logger *slog.Logger
}

// Client queues jobs and looks at them. Make it with New; it holds no goroutine and
// needs no closing.
type Client struct {
	broker *stream.Broker
	cfg    Config
	log    *slog.Logger

	mu      sync.Mutex
	quotas  map[lane]time.Time // when each was seen
	pending map[string]*pending
}

// New makes a Client on js, and the streams and queues if they are missing. It needs a
// server: without one it fails when ctx ends, after 5 s if that has no deadline.
func New(ctx context.Context, js jetstream.JetStream, cfg Config) (*Client, error) {
	if js == nil {
		return nil, errors.New("producer: jetstream: it is nil (make one with jetstream.New)")
	}
	if cfg.Gateway && (!cfg.BindOnly || cfg.Signer != nil) {
		return nil, errors.New("producer: gateway: who queues through one makes nothing and signs nothing (set BindOnly, and leave Signer out)")
	}
	if cfg.Gateway && cfg.MaxPending > 0 {
		return nil, fmt.Errorf("producer: max pending \"%d\": who queues through a gateway counts nothing (leave MaxPending out, and start the gateway with --max-pending)", cfg.MaxPending)
	}
	if cfg.Gateway && cfg.Installation == "" {
		if task.KeysOf(cfg.Trust) != nil {
			return nil, errors.New("producer: gateway: with keys in Trust the installation must be known (set Installation)")
		}
		cfg.Installation = unknownInstallation
	}
	if cfg.Installation != "" && (!cfg.BindOnly || len(cfg.Queues) > 0) {
		return nil, fmt.Errorf("producer: installation %s: who gives it looks at nothing and makes nothing (set BindOnly, and leave Queues out)", task.Quote(cfg.Installation))
	}
	if cfg.MaxPending < 0 {
		return nil, fmt.Errorf("producer: max pending %q: it must not be negative (0 is no limit)", strconv.Itoa(cfg.MaxPending))
	}
	for _, name := range cfg.Queues {
		if err := checkQueue(name); err != nil {
			return nil, err
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(zerolog.NewSlogHandler(zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger()))
	}
	queues := slices.Clone(cfg.Queues)
	if !cfg.BindOnly && !slices.Contains(queues, task.DefaultQueue) {
		queues = append(queues, task.DefaultQueue)
	}
	broker, err := stream.Open(ctx, js, stream.Config{
		Namespace: cfg.Namespace,
		Queues:    queues,
		Lease:     cfg.Lease,
		BindOnly:  cfg.BindOnly,
		Logger:    cfg.Logger,
		Signer:    cfg.Signer,
		Keys:      task.KeysOf(cfg.Trust),
		AnyReader: true,
		Bound:     !cfg.Owner.Anonymous(),

		Installation: cfg.Installation,
	})
	if err != nil {
		return nil, tell("", err)
	}
	c := &Client{
		broker:  broker,
		cfg:     cfg,
		log:     cfg.Logger,
		quotas:  make(map[lane]time.Time),
		pending: make(map[string]*pending),
	}
	if err := c.checkMayCount(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Queue returns the named queue. The name is checked when it is used.
func (c *Client) Queue(name string) *Queue { return &Queue{client: c, name: name} }

// Queues returns the names of the declared queues, sorted.
func (c *Client) Queues(ctx context.Context) ([]string, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	queues, err := c.broker.Queues(ctx)
	return queues, tell("list queues", err)
}
