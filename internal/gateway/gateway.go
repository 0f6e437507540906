// Package gateway queues jobs for logins that may not publish any themselves. Who asks is told by the subject: the server
// lets a login publish on that of its own user alone.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/natsasync/natsasync/internal/seldom"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Name is under which gateways answer `nats service ls`.
const Name = "natsasync-gateway"

const (
	version      = "1.0.0"
	maxAtOnce    = 256
	patience     = 10 * time.Second
	headerBorder = "Nats-Request-Info" // added by the server between accounts; a client can forge what it says
)

// errBusy means that the calls of an owner have their share of the gateway.
var errBusy = errors.New("as many of its calls are worked on as the gateway has places for: nothing was queued")

// Gateway takes calls.
type Gateway struct {
	client  *producer.Client
	names   stream.Names
	log     *slog.Logger
	nc      *nats.Conn
	service micro.Service
	places  *places
	running sync.WaitGroup

	refusals seldom.Lines
}

// Answer is what a caller gets.
type Answer struct {
	ID    string `json:"id"`
	Queue string `json:"queue"`
	Owner string `json:"owner"`
}

// Start serves until Stop. When it returns, the server knows where to send calls.
func Start(nc *nats.Conn, c *producer.Client, names stream.Names, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{nc: nc, client: c, names: names, log: log, places: newPlaces(maxAtOnce)}
	subject := names.Gateway("*")
	var err error
	g.service, err = micro.AddService(nc, micro.Config{Name: Name, Version: version, Description: "queues jobs of natsasync in the name of who asks"})
	if err != nil {
		return nil, fmt.Errorf("gateway: announce it: %w", err)
	}
	if err := g.service.AddEndpoint("queue", micro.HandlerFunc(g.take), micro.WithEndpointSubject(subject)); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: listen on %s: %w", subject, err), g.service.Stop())
	}
	if err := nc.FlushTimeout(patience); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: tell the server of %s: %w", subject, err), g.service.Stop())
	}
	return g, nil
}

// Stop takes no more calls, and returns once those that the server has sent are answered: then the connection may be
// closed. It is called once.
func (g *Gateway) Stop() error {
	err := g.service.Stop()
	if g.nc.IsConnected() {
		// The answer to this comes behind the last call that the server sends.
		err = errors.Join(err, g.nc.FlushTimeout(patience))
	}
	taken := make(chan struct{})
	if g.nc.Barrier(func() { close(taken) }) == nil {
		<-taken
	}
	g.running.Wait()
	return err
}

// take answers one call, beside others. It never waits: all callers stand in one line.
func (g *Gateway) take(r micro.Request) {
	owner, ok := g.names.ParseGateway(r.Subject())
	if !ok {
		g.answer(r.Reply(), nil, &task.WireError{Code: "subject", Message: fmt.Sprintf("subject %s: it ends with one owner", task.Quote(r.Subject()))})
		return
	}
	if !g.places.take(owner) {
		g.answer(r.Reply(), nil, fmt.Errorf("owner %s: %w (ask again in a moment)", task.Quote(owner), errBusy))
		return
	}
	g.running.Go(func() {
		defer g.places.leave(owner)
		answer, err := g.queue(r, owner)
		g.answer(r.Reply(), answer, err)
	})
}

// answer does what the micro package does for handlers that answer before they return.
func (g *Gateway) answer(to string, answer *Answer, err error) {
	m := &nats.Msg{Subject: to}
	if err == nil {
		m.Data, err = json.Marshal(answer)
	}
	if err != nil {
		code := codeOf(err)
		if due, quiet := g.refusals.Due(code); due {
			g.log.Info("a call is refused", "code", code, "err", err, "more", quiet)
		}
		m.Header = nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {strings.ToValidUTF8(err.Error(), "?")}}
	}
	if err := g.nc.PublishMsg(m); err != nil {
		g.log.Debug("answer a call", "err", err)
	}
}

func (g *Gateway) queue(r micro.Request, owner string) (*Answer, error) {
	// A message of a stream, which somebody had the server send here, has others.
	for name := range r.Headers() {
		if name != headerBorder {
			return nil, &task.WireError{Code: "header", Message: fmt.Sprintf("header %s: a call has none", task.Quote(name))}
		}
	}
	e, err := task.DecodeEnvelope(r.Data())
	if err != nil {
		return nil, err
	}
	if e.User.Owner() != owner {
		return nil, fmt.Errorf("user %s: the call came for the owner %s: %w", task.Quote(e.User.String()), task.Quote(owner), task.ErrUnauthorized)
	}
	call, err := e.Call()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(task.WithUser(context.Background(), e.User), patience)
	defer cancel()
	job, err := g.client.EnqueueSpec(ctx, call)
	if err != nil {
		return nil, err
	}
	return &Answer{ID: job.ID(), Queue: job.Queue(), Owner: owner}, nil
}

// codeOf is the stable name of what went wrong.
func codeOf(err error) string {
	if _, ok := errors.AsType[*task.WireError](err); ok {
		return task.WireCode(err)
	}
	for _, known := range [...]struct {
		err  error
		code string
	}{
		{errBusy, "busy"},
		{task.ErrUnauthorized, "unauthorized"},
		{producer.ErrNoSuchQueue, "no_such_queue"},
		{producer.ErrNoSuchQuota, "no_such_quota"},
		{producer.ErrQueueFull, "queue_full"},
		{producer.ErrUnknown, "unknown_outcome"},
		{task.ErrTooLarge, "too_large"},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return "refused"
}
