package hooks

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// maxWaiting is how many events wait for a handler; the server's client drops more.
const maxWaiting = 4096

// listener hands events that are not stored to their handlers.
type listener struct {
	b        *stream.Broker
	handlers map[string]func(context.Context, task.Event)
	queue    string
	logger   *slog.Logger

	messages chan *nats.Msg
	subs     []*nats.Subscription
}

// open subscribes to the events of whole jobs, whose IDs are one token.
func (l *listener) open(ctx context.Context) error {
	l.messages = make(chan *nats.Msg, maxWaiting)
	for kind := range l.handlers {
		sub, err := l.b.Conn().ChanSubscribe(l.b.Names.Event(wildcard(l.queue), kind, "*", "*"), l.messages)
		if err != nil {
			l.close()
			return fmt.Errorf("hooks: subscribe to events: %w", err)
		}
		l.subs = append(l.subs, sub)
	}
	if err := l.b.Conn().FlushWithContext(ctx); err != nil {
		l.close()
		return fmt.Errorf("hooks: subscribe to events: %w", err)
	}
	return nil
}

func (l *listener) close() {
	for _, sub := range l.subs {
		_ = sub.Unsubscribe() // fails when the connection is closed: then it is gone
	}
}

func (l *listener) run(ctx context.Context) {
	defer l.close()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-l.messages:
			l.handle(ctx, m)
		}
	}
}

func (l *listener) handle(ctx context.Context, m *nats.Msg) {
	e, err := l.b.ReadEvent(m)
	if err != nil {
		l.logger.DebugContext(ctx, "an event cannot be read", "subject", m.Subject, "err", err)
		return
	}
	fn := l.handlers[e.Kind]
	err = <-begin(func() error {
		fn(context.WithoutCancel(ctx), *e)
		return nil
	})
	if err != nil {
		l.logger.ErrorContext(ctx, "an event's handler broke off", "kind", e.Kind, "id", e.ID, "task", e.Task, "err", err)
	}
}
