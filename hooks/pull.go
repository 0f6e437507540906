package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	pullExpiry = 30 * time.Second
	heartbeat  = 5 * time.Second // while nothing comes
)

// pull asks a consumer for one outcome after the other. It does so itself, as jetstream's
// readers take an outcome without a body that was published with a header Status for a
// word of the server's, and swallow it: one such would keep back all that follow.
type pull struct {
	nc       *nats.Conn
	consumer string // the subject that is asked
	sub      *nats.Subscription
	inbox    string
	msgs     chan *nats.Msg
	asks     int
	status   chan nats.Status
}

func newPull(b *stream.Broker, c *jetstream.ConsumerInfo) (*pull, error) {
	nc := b.Conn()
	p := &pull{
		nc:       nc,
		consumer: b.APIPrefix() + "CONSUMER.MSG.NEXT." + c.Stream + "." + c.Name,
		inbox:    nc.NewInbox() + ".",
		msgs:     make(chan *nats.Msg, 64),
	}
	var err error
	if p.sub, err = nc.ChanSubscribe(p.inbox+"*", p.msgs); err != nil {
		return nil, err
	}
	p.status = nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	return p, nil
}

// ask begins a new pull. What the server says about the one before is of no interest then.
func (p *pull) ask() error {
	body, err := json.Marshal(map[string]any{"batch": 1, "expires": pullExpiry, "idle_heartbeat": heartbeat})
	if err != nil {
		return fmt.Errorf("hooks: encode request: %w", err)
	}
	p.asks++
	return p.nc.PublishRequest(p.consumer, p.reply(), body)
}

func (p *pull) reply() string { return p.inbox + strconv.Itoa(p.asks) }

// next waits for an outcome. The error is of the connection or the consumer.
func (p *pull) next(ctx context.Context) (*nats.Msg, error) {
	if err := p.ask(); err != nil {
		return nil, err
	}
	silence, pause := time.NewTimer(2*heartbeat), time.NewTimer(time.Hour)
	defer silence.Stop()
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case m := <-p.msgs:
			switch {
			case m.Reply != "": // only what is delivered has one, whatever its headers say
				return m, nil
			case m.Subject != p.reply():
				continue
			}
			code, why := m.Header.Get("Status"), m.Header.Get("Description")
			if code != "503" { // nobody is there
				silence.Reset(2 * heartbeat)
			}
			if code == "100" {
				continue
			}
			if !passes(code, why) {
				return nil, fmt.Errorf("hooks: pull outcomes: %s %s", code, why)
			}
			pause.Reset(shortest)
		case <-silence.C:
			if p.nc.IsConnected() {
				return nil, errors.New("hooks: pull outcomes: the server does not answer")
			}
			silence.Reset(2 * heartbeat)
		case <-p.status: // an ask may have got lost
			pause.Reset(0)
		case <-pause.C:
			if err := p.ask(); err != nil {
				return nil, err
			}
		}
	}
}

// passes says whether another pull may succeed after what the server said about one: it
// has run out, or the consumer moves to another server.
func passes(code, why string) bool {
	switch code {
	case "404", "408", "503":
		return true
	case "409":
		return why == "Leadership Change" || why == "Server Shutdown"
	}
	return false
}

// close returns what has arrived and was not looked at.
func (p *pull) close() {
	p.nc.RemoveStatusListener(p.status)
	_ = p.sub.Drain()
	if p.nc.IsConnected() {
		_ = p.nc.FlushTimeout(time.Second)
	}
	for {
		select {
		case m := <-p.msgs:
			if m.Reply != "" {
				_ = m.Nak() // lost: it comes again after AckWait
			}
		default:
			return
		}
	}
}
