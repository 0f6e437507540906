package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// MaxBatch is how many messages one atomic batch may have.
const MaxBatch = 1000

// PublishBatch stores messages in the stream Jobs, all or none and without others between them, and returns the
// sequence of the first. It leaves the messages as they are. When the server has too many batches open it tries again
// within ctx (5 s if that has no deadline); timeout is for one try. A refusal is a *jetstream.APIError, and the error of Publish that it means:
// nothing was stored, unless the very same batch was stored before. After any other error it is unknown whether all or none is stored.
func (b *Broker) PublishBatch(ctx context.Context, msgs []*nats.Msg, timeout time.Duration) (first uint64, err error) {
	if len(msgs) == 0 || len(msgs) > MaxBatch {
		return 0, fmt.Errorf(`stream: batch of "%d" messages: must have 1 to %d (split it)`, len(msgs), MaxBatch)
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		ack, err := b.tryBatch(ctx, msgs, timeout)
		if err == nil {
			return ack.Sequence - ack.BatchSize + 1, nil
		}
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode != codeTooManyBatches {
			err = b.full(msgs[0].Subject, classify(refused))
		}
		if !isCode(err, codeTooManyBatches) {
			return 0, fmt.Errorf("stream: publish %d messages at once: %w", len(msgs), err)
		}
		if !Sleep(ctx, jitter(pause)) {
			return 0, fmt.Errorf("stream: publish %d messages at once: too many others do: %w", len(msgs), errors.Join(err, context.Cause(ctx)))
		}
	}
}

func (b *Broker) tryBatch(ctx context.Context, msgs []*nats.Msg, timeout time.Duration) (*jetstreamext.BatchAck, error) {
	once, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := once.Err(); err != nil {
		return nil, err
	}
	copies := make([]*nats.Msg, len(msgs))
	for i, msg := range msgs {
		header := maps.Clone(msg.Header)
		if header == nil {
			header = nats.Header{}
		}
		copies[i] = &nats.Msg{Subject: msg.Subject, Header: header, Data: msg.Data}
	}
	deadline, _ := once.Deadline()
	return jetstreamext.PublishMsgBatch(once, b.js, copies, jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: time.Until(deadline)})
}
