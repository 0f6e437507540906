package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/seldom"
	"github.com/natsasync/natsasync/internal/stream"
)

const (
	ackWait = 30 * time.Second
	// inactive is after which time the server forgets a consumer without a name.
	inactive = 5 * time.Minute
	// Pauses between tries to bind.
	shortest, longest = 100 * time.Millisecond, 5 * time.Second
)

// reader hands outcomes to handlers, one at a time. All its fields belong to one
// goroutine.
type reader struct {
	b        *stream.Broker
	handlers Handlers
	durable  string
	queue    string
	bindOnly bool
	logger   *slog.Logger

	name  string // of the consumer, once there was one
	bound bool
	last  uint64 // the sequence of the last outcome that was done with
	cause string // why it does not listen, as last logged

	passed seldom.Lines // of records that are passed over: one who may cancel can write many

	failing  uint64 // the sequence of the outcome whose handler failed last
	failures int    // how often it did
}

// bind finds the consumer or makes it: at first from now on, later from where it was.
func (r *reader) bind(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	for tries := 0; ; tries++ {
		c, err := r.find(ctx)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			c, err = r.create(ctx)
		}
		if errors.Is(err, jetstream.ErrConsumerExists) && tries == 0 {
			continue // somebody else was quicker
		}
		if err != nil {
			return nil, err
		}
		info := c.CachedInfo()
		if err := r.compare(info.Config); err != nil {
			return nil, err
		}
		r.name, r.bound = info.Name, true
		r.last = max(r.last, info.AckFloor.Stream)
		return info, nil
	}
}

func (r *reader) find(ctx context.Context) (jetstream.Consumer, error) {
	name := r.durable
	if name == "" {
		name = r.name
	}
	if name == "" {
		return nil, jetstream.ErrConsumerNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := r.b.JetStream().Consumer(ctx, r.b.Outcomes(), name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) && r.bindOnly {
		return nil, fmt.Errorf("hooks: durable %q: it is not there (run \"natsasync init --handler %s\", or leave BindOnly out)", name, name)
	}
	if err != nil {
		return nil, fmt.Errorf("hooks: look at the consumer %q: %w", name, err)
	}
	return c, nil
}

func (r *reader) create(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		Durable:        r.durable,
		Description:    "natsasync: the outcomes of whole jobs, for a subscriber. Delete it when nobody uses it any more.",
		DeliverPolicy:  jetstream.DeliverNewPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  1,
		FilterSubjects: r.filters(),
	}
	if r.durable == "" {
		cfg.InactiveThreshold = inactive
	}
	if r.bound {
		from, err := r.goOn(ctx)
		if err != nil {
			return nil, err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	c, err := r.b.JetStream().CreateConsumer(ctx, r.b.Outcomes(), cfg)
	if err != nil {
		return nil, fmt.Errorf("hooks: make the consumer %q: %w", r.durable, err)
	}
	return c, nil
}

// goOn is where a consumer begins that takes the place of one that is gone: after the
// last outcome that was handled, or at the beginning of a stream that was made anew.
func (r *reader) goOn(ctx context.Context) (uint64, error) {
	s, err := r.b.JetStream().Stream(ctx, r.b.Outcomes())
	if err != nil {
		return 0, fmt.Errorf("hooks: look at the stream %q: %w", r.b.Outcomes(), err)
	}
	if s.CachedInfo().State.LastSeq < r.last {
		r.last = 0
	}
	return r.last + 1, nil
}

// filters match the ends of whole jobs, whose IDs are one token.
func (r *reader) filters() []string {
	var all []string
	for _, kind := range []string{stream.KindSucceeded, stream.KindFailed, stream.KindCancelled} {
		all = append(all, r.b.Names.Outcome(wildcard(r.queue), kind, "*", "*"))
	}
	return all
}

// compare says what a consumer that is there has otherwise; its times are its owner's.
func (r *reader) compare(has jetstream.ConsumerConfig) error {
	filters := slices.Clone(has.FilterSubjects)
	if has.FilterSubject != "" {
		filters = append(filters, has.FilterSubject)
	}
	want := r.filters()
	slices.Sort(filters)
	slices.Sort(want)
	differs := func(what string, is, should any) error {
		return fmt.Errorf("hooks: durable %q: it is there with %s %v and not %v (choose another name, or delete it with the nats tool)", r.durable, what, is, should)
	}
	switch {
	case !slices.Equal(filters, want):
		return differs("the filters", filters, want)
	case has.AckPolicy != jetstream.AckExplicitPolicy:
		return differs("ack policy", has.AckPolicy, jetstream.AckExplicitPolicy)
	case has.MaxAckPending != 1:
		return differs("max ack pending", has.MaxAckPending, 1)
	case has.MaxDeliver != -1:
		return differs("max deliver", has.MaxDeliver, -1)
	}
	return nil
}

// run reads until ctx ends, from c at first.
func (r *reader) run(ctx context.Context, c *jetstream.ConsumerInfo) {
	defer r.leave(ctx)
	for c != nil {
		began := time.Now()
		err := r.read(ctx, c)
		if time.Since(began) > longest {
			r.cause = ""
		}
		c = r.rebind(ctx, err)
	}
}

// rebind tries to bind after err until it can; nil if there is nothing left to do. It
// logs each cause once.
func (r *reader) rebind(ctx context.Context, err error) *jetstream.ConsumerInfo {
	logged := false
	for pause := shortest; ; pause = min(2*pause, longest) {
		if ctx.Err() != nil || r.b.Conn().IsClosed() {
			return nil
		}
		if cause := err.Error(); cause != r.cause {
			r.cause, logged = cause, true
			r.logger.WarnContext(ctx, "not listening to outcomes, trying again", "consumer", r.name, "err", err)
		}
		if !stream.Sleep(ctx, pause) {
			return nil
		}
		var c *jetstream.ConsumerInfo
		if c, err = r.bind(ctx); err != nil {
			continue
		}
		if logged {
			r.logger.InfoContext(ctx, "listening to outcomes again", "consumer", r.name)
		}
		return c
	}
}

// leave tells the server what was acknowledged, and that a nameless consumer is done.
func (r *reader) leave(ctx context.Context) {
	if !r.b.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := r.b.Conn().FlushWithContext(ctx)
	if r.durable == "" && err == nil {
		err = r.b.JetStream().DeleteConsumer(ctx, r.b.Outcomes(), r.name)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		r.logger.DebugContext(ctx, "the subscription did not end cleanly", "consumer", r.name, "err", err)
	}
}
