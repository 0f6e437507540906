// Package gateway queues jobs for logins that may not publish any themselves: who asks is told by the server.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// Name is under which gateways answer `nats service ls`.
const Name = "natsasync-gateway"

const (
	version    = "1.0.0"
	headerWho  = "Nats-Request-Info" // set by the server where an account imports the service with share
	maxAtOnce  = 256
	patience   = 10 * time.Second
	codeDenied = "unauthorized"
)

// Caller is a login as the server tells of it.
type Caller struct {
	Account string `json:"acc"`
	User    string `json:"user"`
}

// People says who callers are.
type People struct {
	// Realms are those of whole accounts, by their names: the user's ID is the name of the login.
	Realms map[string]string
	// Logins are single ones. They go before the accounts.
	Logins map[Caller]task.User
}

// Of returns the user that a caller is.
func (p People) Of(c Caller) (task.User, bool) {
	if u, ok := p.Logins[c]; ok {
		return u, true
	}
	realm, ok := p.Realms[c.Account]
	if !ok || c.User == "" {
		return task.User{}, false
	}
	return task.User{Realm: realm, ID: c.User}, true
}

// Gateway takes calls.
type Gateway struct {
	client  *producer.Client
	people  People
	log     *slog.Logger
	service micro.Service
	slots   chan struct{}
}

// Answer is what a caller gets.
type Answer struct {
	ID    string `json:"id"`
	Queue string `json:"queue"`
	Owner string `json:"owner"`
}

// Start serves on a subject until Stop.
func Start(nc *nats.Conn, c *producer.Client, subject string, people People, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{client: c, people: people, log: log, slots: make(chan struct{}, maxAtOnce)}
	var err error
	g.service, err = micro.AddService(nc, micro.Config{Name: Name, Version: version, Description: "queues jobs of natsasync in the name of who asks"})
	if err != nil {
		return nil, fmt.Errorf("gateway: announce it: %w", err)
	}
	if err := g.service.AddEndpoint("queue", micro.HandlerFunc(g.take), micro.WithEndpointSubject(subject)); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: listen on %s: %w", subject, err), g.service.Stop())
	}
	return g, nil
}

// Stop takes no more calls, and waits for those that are being queued.
func (g *Gateway) Stop() error {
	err := g.service.Stop()
	for range maxAtOnce {
		g.slots <- struct{}{}
	}
	return err
}

// take answers one call, beside others.
func (g *Gateway) take(r micro.Request) {
	g.slots <- struct{}{}
	go func() {
		defer func() { <-g.slots }()
		answer, err := g.queue(r)
		if err != nil {
			code := codeOf(err)
			g.log.Info("a call is refused", "code", code, "err", err)
			_ = r.Error(code, strings.ToValidUTF8(err.Error(), "?"), nil)
			return
		}
		_ = r.RespondJSON(answer)
	}()
}

func (g *Gateway) queue(r micro.Request) (*Answer, error) {
	who, err := callerOf(r.Headers().Values(headerWho))
	if err != nil {
		return nil, err
	}
	user, ok := g.people.Of(who)
	if !ok {
		return nil, fmt.Errorf("login %s of account %s is nobody here: %w", task.Quote(who.User), task.Quote(who.Account), task.ErrUnauthorized)
	}
	e, err := task.DecodeEnvelope(r.Data())
	if err != nil {
		return nil, err
	}
	if !e.User.Anonymous() && e.User != user {
		return nil, fmt.Errorf("user %s: who asks is %s (leave the user out): %w", task.Quote(e.User.String()), task.Quote(user.String()), task.ErrUnauthorized)
	}
	call, err := e.Call()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(task.WithUser(context.Background(), user), patience)
	defer cancel()
	job, err := g.client.EnqueueSpec(ctx, call)
	if err != nil {
		return nil, err
	}
	return &Answer{ID: job.ID(), Queue: job.Queue(), Owner: user.Owner()}, nil
}

// callerOf reads what the server says of who asks. It writes over what a client sends, where the client's account
// imports the service with share; in the service's own account it says nothing, and a client may.
func callerOf(values []string) (Caller, error) {
	if len(values) != 1 {
		return Caller{}, fmt.Errorf("the server does not say who asks (import the service with share: true): %w", task.ErrUnauthorized)
	}
	var c Caller
	if err := json.Unmarshal([]byte(values[0]), &c); err != nil || c.Account == "" {
		return Caller{}, fmt.Errorf("the server does not say who asks: %w", task.ErrUnauthorized)
	}
	return c, nil
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
		{task.ErrUnauthorized, codeDenied},
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
