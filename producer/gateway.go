package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// unknownInstallation is that of a client that needs none: a gateway knows.
const unknownInstallation = "unknown"

// Pauses before a gateway that is busy is asked again.
const shortestPause, longestPause = 20 * time.Millisecond, time.Second

// errBusy means that a gateway works on as many calls of this owner as it has places for.
var errBusy = errors.New("it is busy with other calls of this user")

// What a gateway says went wrong, by its stable names.
var gatewayErrors = map[string]error{
	"busy":         errBusy,
	"unauthorized": task.ErrUnauthorized, "no_such_queue": ErrNoSuchQueue, "no_such_quota": ErrNoSuchQuota,
	"queue_full": ErrQueueFull, "unknown_outcome": ErrUnknown, "too_large": task.ErrTooLarge,
}

// askGateway has a call queued. With ErrUnknown it returns the handle too: asking again
// with the same ID is safe.
func (c *Client) askGateway(ctx context.Context, call task.Spec) (*handle, error) {
	by := c.sealing(ctx)
	by.Installation, by.Parent = "", "" // a gateway takes nobody's word for them
	e, err := c.seal(ctx, call, by)
	if err != nil {
		return nil, err
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	h := c.handleOf(e)
	body, subject := e.Encode(), c.broker.Gateway(e.User.Owner())
	pause := shortestPause
	for timeout := stream.RequestTimeout; ; timeout = stream.Longer(timeout) {
		once, end := context.WithTimeout(ctx, timeout)
		answer, err := c.broker.Ask(once, subject, body)
		end()
		if err == nil {
			err = readGateway(h, answer)
		}
		switch {
		case err == nil, errors.Is(err, ErrUnknown):
			return h, err
		case errors.Is(err, errBusy):
			if !stream.Sleep(ctx, pause/2+rand.N(pause)) {
				// An earlier request may have had no answer.
				return h, fmt.Errorf("producer: job %s: %w (queue it again with the same ID): %w", task.Quote(e.ID), ErrUnknown, err)
			}
			pause = min(2*pause, longestPause)
		case answer != nil:
			return nil, err
		case errors.Is(err, nats.ErrPermissionViolation):
			return nil, fmt.Errorf("producer: gateway: this login may not ask it for %s (queue as the user that the login is bound to, in the command line with --as REALM:ID or --owner): %w",
				nameOf(e.User), nats.ErrPermissionViolation)
		case errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("producer: gateway: nobody takes calls on %s (start \"natsasync gateway\")", subject)
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed):
			return nil, tell("ask the gateway", err)
		case ctx.Err() != nil:
			return h, fmt.Errorf("producer: job %s: %w (queue it again with the same ID): %w", task.Quote(e.ID), ErrUnknown, context.Cause(ctx))
		}
	}
}

func nameOf(u task.User) string {
	if u.Anonymous() {
		return "the anonymous user"
	}
	return "user " + task.Quote(u.String())
}

// readGateway takes what a gateway answered into the handle.
func readGateway(h *handle, m *nats.Msg) error {
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		code := m.Header.Get("Nats-Service-Error-Code")
		if known := gatewayErrors[code]; known != nil {
			return fmt.Errorf("producer: gateway: %w: %s", known, text)
		}
		return fmt.Errorf("producer: gateway: %s: %s", code, text)
	}
	var said struct{ ID, Queue, Owner string }
	if err := json.Unmarshal(m.Data, &said); err != nil || said.ID != h.id {
		return fmt.Errorf("producer: gateway: its answer is none: %w", errors.Join(ErrUnknown, err))
	}
	h.queue, h.owner, h.queued = said.Queue, said.Owner, true
	return nil
}

// enqueueEach is EnqueueAll through a gateway.
func enqueueEach[Out any](ctx context.Context, c *Client, calls []task.Call[Out]) ([]*Job[Out], error) {
	jobs := make([]*Job[Out], len(calls))
	var refused []error
	for i, call := range calls {
		job, err := Enqueue(ctx, c, call)
		jobs[i] = job
		if err != nil {
			refused = append(refused, fmt.Errorf("call %d: %w", i+1, err))
		}
	}
	return jobs, joined(refused)
}
