package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// RequestTimeout bounds the first try of a request: one that is in flight when a server dies is never answered.
const RequestTimeout = 3 * time.Second

// Longer is the timeout of the next try, up to 24 s: over a slow line a large answer must come to its end some time.
func Longer(timeout time.Duration) time.Duration { return min(2*timeout, 8*RequestTimeout) }

const (
	codeClusterNotAvailable = 10008
	codeClusterNotLeader    = 10009
	codeSequenceNotFound    = 10043
	codeMessageDelete       = 10057
	codeTooManyBatches      = 10210
)

// fault is the part that all answers of the JetStream API share.
type fault struct {
	Error *jetstream.APIError `json:"error,omitempty"`
}

func (f fault) refusal() *jetstream.APIError { return f.Error }

type answer interface{ refusal() *jetstream.APIError }

// dated is an answer that says when it was given.
type dated interface{ given() time.Time }

// api asks the JetStream API, repeating what nobody answered for as long as ctx lives. A nil request is an empty one.
func (b *Broker) api(ctx context.Context, method string, request any, into answer) error {
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	return b.repeat(ctx, b.prefix+method, func(ctx context.Context) error {
		asked := time.Now()
		msg, err := b.nc.RequestWithContext(ctx, b.prefix+method, body)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(msg.Data, into); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		if refused := into.refusal(); refused != nil {
			return refused
		}
		if d, ok := into.(dated); ok {
			b.readClock(asked, d.given())
		}
		return nil
	})
}

type patience struct{}

// WithPatience bounds for how long requests of the context are repeated while the server says that nobody listens to
// them. Without it that is for as long as the context lives: whoever waits for a worker's or a server's return wants that,
// and a person at a terminal wants to know.
func WithPatience(ctx context.Context, length time.Duration) context.Context {
	return context.WithValue(ctx, patience{}, length)
}

// nobody is the error of a request that nobody listens to.
func nobody(subject string) error {
	return fmt.Errorf("nobody listens on %q (enable JetStream on the server and for this account, have the account import that subject if the streams are in another, or correct the domain or prefix): %w",
		subject, nats.ErrNoResponders)
}

// repeat does one request on subject until it is answered, with a timeout for each try. A refusal is an answer.
func (b *Broker) repeat(ctx context.Context, subject string, do func(context.Context) error) error {
	b.logger.DebugContext(ctx, "asking", "request", subject)
	timeout := RequestTimeout
	var unheard time.Time // since when nobody listens
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		once, cancel := context.WithTimeout(ctx, timeout)
		stop := b.endDenied(subject, cancel)
		err := do(once)
		stop()
		cancel()
		if err == nil || !unanswered(err) {
			return err
		}
		if denied := b.denied(subject); denied != nil {
			return denied
		}
		lonely := errors.Is(err, nats.ErrNoResponders)
		switch {
		case !lonely:
			unheard = time.Time{}
		case unheard.IsZero():
			unheard = time.Now()
		default:
			if most, is := ctx.Value(patience{}).(time.Duration); is && time.Since(unheard) > most {
				return nobody(subject)
			}
		}
		if !Sleep(ctx, jitter(pause)) {
			if lonely {
				return fmt.Errorf("%w: %w", nobody(subject), context.Cause(ctx))
			}
			return fmt.Errorf("no answer to %q (%w): %w", subject, err, context.Cause(ctx))
		}
		timeout = Longer(timeout)
		b.logger.DebugContext(ctx, "asking again", "request", subject, "err", err)
	}
}

// Ask sends a request to another service than JetStream, once.
func (b *Broker) Ask(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := b.endDenied(subject, cancel)
	defer stop()
	msg, err := b.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		if denied := b.denied(subject); denied != nil {
			return nil, denied
		}
	}
	return msg, err
}

// endDenied ends a request that nobody will answer, as the server has refused it.
func (b *Broker) endDenied(subject string, end func()) (stop func() bool) {
	var look *time.Timer
	look = time.AfterFunc(time.Hour, func() {
		if b.denied(subject) != nil {
			end()
			return
		}
		look.Reset(200 * time.Millisecond)
	})
	look.Reset(50 * time.Millisecond)
	return look.Stop
}

// denied returns an error if the server refused this login the request: it answers only with a notice on the connection.
func (b *Broker) denied(subject string) error {
	last := b.nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) {
		return nil
	}
	if !strings.Contains(strings.ToLower(last.Error()), `"`+strings.ToLower(subject)) {
		return nil
	}
	fix := "give this login the right"
	if strings.HasPrefix(subject, b.prefix) && makes(subject[len(b.prefix):]) {
		fix += `, or let "natsasync init" make what is missing and set BindOnly`
	}
	return fmt.Errorf("%q: %w (%s)", subject, nats.ErrPermissionViolation, fix)
}

// makes says whether a method of the JetStream API makes something.
func makes(method string) bool {
	for _, of := range [...]string{"STREAM.CREATE.", "STREAM.UPDATE.", "CONSUMER.CREATE.", "CONSUMER.DURABLE."} {
		if strings.HasPrefix(method, of) {
			return true
		}
	}
	return false
}

// Denied says whether the server has just refused this login to publish on subject. It is known once the connection was flushed.
func (b *Broker) Denied(subject string) bool { return b.denied(subject) != nil }

// Refused says whether the server lets this login take nothing from a lane; false if that cannot be found out.
func (b *Broker) Refused(ctx context.Context, queue, lane string) bool {
	subject := b.prefix + "CONSUMER.MSG.NEXT." + b.Jobs() + "." + Consumer(queue, lane)
	err := b.repeat(ctx, subject, func(ctx context.Context) error {
		_, err := b.nc.RequestWithContext(ctx, subject, []byte("{")) // no request: it would take a job
		return err
	})
	return errors.Is(err, nats.ErrPermissionViolation)
}

func unanswered(err error) bool {
	for _, passing := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, jetstream.ErrJetStreamNotEnabled,
		jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return isCode(err, codeClusterNotAvailable) || isCode(err, codeClusterNotLeader)
}

func isCode(err error, code jetstream.ErrorCode) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == code
}

// Sleep waits for d, false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// jitter returns a duration between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

func between(low, high time.Duration) time.Duration {
	return low + rand.N(high-low+1)
}
