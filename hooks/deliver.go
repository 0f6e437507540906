package hooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

const (
	tries      = 5
	firstPause = time.Second // before the second try; it doubles
)

// read hands out what the consumer has, until an error.
func (r *reader) read(ctx context.Context, c *jetstream.ConsumerInfo) error {
	p, err := newPull(r.b, c)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		msg, err := p.next(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			_ = msg.Nak() // lost: it comes again after AckWait
			return ctx.Err()
		}
		if err := r.deliver(ctx, msg, c.Config.AckWait); err != nil {
			return err
		}
	}
}

// deliver hands one outcome to its handler and settles it. The error is of the
// connection.
func (r *reader) deliver(ctx context.Context, msg *nats.Msg, lease time.Duration) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	seq := meta.Sequence.Stream
	s := r.b.ReadStanding(&stream.Message{Subject: msg.Subject, Seq: seq, Time: meta.Timestamp, Header: msg.Header, Data: msg.Data})
	if errors.Is(s.Wrong, task.ErrNoKeys) {
		return r.putOff(ctx, msg, s.Wrong)
	}
	if s.Record == nil {
		return r.passOver(ctx, msg, seq, s.Wrong)
	}
	fn := r.handlers.of(s.Record.End)
	if fn == nil {
		return r.done(msg, seq)
	}
	var unread, void error
	err = await(msg, lease, begin(func() error {
		if void, unread = r.complete(ctx, s); void != nil || unread != nil {
			return nil
		}
		return fn(context.WithoutCancel(ctx), s.Record.Outcome)
	}))
	switch {
	case unread != nil:
		return r.putOff(ctx, msg, unread)
	case void != nil:
		return r.passOver(ctx, msg, seq, void)
	case err != nil:
		return r.failed(ctx, msg, seq, s.Record, err)
	}
	return r.done(msg, seq)
}

// complete reads what else a handler must know of a record. void is why its handler is not
// to be told.
func (r *reader) complete(ctx context.Context, s stream.Standing) (void, unread error) {
	if s.Record.End != task.Cancelled {
		return nil, r.b.Fill(ctx, s.Subject, s.Record)
	}
	// Whoever may cancel may have done so without looking, after the job had ended.
	stands, err := r.b.Standing(ctx, s.Queue, s.Owner, s.ID)
	if err == nil && stands.Record != nil && stands.Record.End != task.Cancelled {
		void = fmt.Errorf("job %s had ended before it was cancelled", s.ID)
	}
	return void, err
}

// putOff gives back what could not be read now, for as often as it takes: its handler was
// not called.
func (r *reader) putOff(ctx context.Context, msg *nats.Msg, why error) error {
	switch {
	case ctx.Err() != nil || r.b.Conn().IsClosed():
		return msg.Nak()
	case errors.Is(why, task.ErrNoKeys):
		r.logger.ErrorContext(ctx, "nobody is believed and no outcome is handed out: the keys cannot be read", "err", why)
	default:
		r.logger.ErrorContext(ctx, "an outcome cannot be read now and is put off", "subject", msg.Subject, "err", why)
	}
	return msg.NakWithDelay(firstPause)
}

func (r *reader) passOver(ctx context.Context, msg *nats.Msg, seq uint64, why error) error {
	code := task.WireCode(why)
	if due, quiet := r.passed.Due(code); due {
		r.logger.WarnContext(ctx, "a record cannot be read and is passed over", "subject", msg.Subject, "seq", seq, "code", code, "err", why, "more", quiet)
	}
	return r.done(msg, seq)
}

// failed has the handler called again, or gives its outcome up. It counts calls: the
// server counts deliveries, also those that no handler saw.
func (r *reader) failed(ctx context.Context, msg *nats.Msg, seq uint64, rec *task.Record, why error) error {
	if r.failing != seq {
		r.failing, r.failures = seq, 0
	}
	r.failures++
	log := r.logger.With("id", rec.ID, "task", rec.Task, "end", rec.End, "try", r.failures, "err", why)
	if r.failures >= tries {
		log.ErrorContext(ctx, "the handler keeps failing, its outcome is given up")
		return r.done(msg, seq)
	}
	log.WarnContext(ctx, "the handler failed and will be called again")
	return msg.NakWithDelay(firstPause << (r.failures - 1))
}

func (r *reader) done(msg *nats.Msg, seq uint64) error {
	r.last = seq
	return msg.Ack()
}

// await keeps the lease of msg until its handler is done.
func await(msg *nats.Msg, lease time.Duration, handler <-chan error) error {
	tick := time.NewTicker(max(lease/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-handler:
			return err
		case <-tick.C:
			_ = msg.InProgress() // fails when the connection is closed: then nobody keeps it
		}
	}
}
