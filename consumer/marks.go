package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

// marksEvery is how often a worker looks whether a stream is behind where it has been; it
// does so after each reconnect too.
const marksEvery = time.Minute

// checkMarks refuses streams that have lost what they had. That it could not be found
// out is no refusal.
func checkMarks(ctx context.Context, broker *stream.Broker) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := broker.CheckMarks(ctx)
	if errors.Is(err, stream.ErrRegressed) {
		return fmt.Errorf("consumer: %w", err)
	}
	if err != nil {
		broker.Logger().DebugContext(ctx, "look how far the streams are", "err", err)
	}
	return nil
}

// watchMarks stops the worker when a stream has lost what it had: to carry on would give
// sequences, and with them fences, a second time.
func (w *Worker) watchMarks(ctx context.Context, stop context.CancelCauseFunc) {
	nc := w.broker.Conn()
	connected := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(connected)
	for {
		timer := time.NewTimer(marksEvery/2 + rand.N(marksEvery))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-connected:
			timer.Stop()
		}
		if err := checkMarks(ctx, w.broker); err != nil && ctx.Err() == nil {
			w.log.ErrorContext(ctx, "the worker takes no more jobs", "err", err)
			stop(errors.Unwrap(err))
			return
		}
	}
}
