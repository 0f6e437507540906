package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

type authCheckCmd struct {
	Role   string   `arg:"" help:"What the login is for: producer, waiter, canceller, watcher, handler, operator, worker, admin, gateway or caller."`
	User   string   `name:"for" placeholder:"REALM:ID" help:"The one user that the login is for."`
	Queues []string `name:"queue" help:"Queues of a worker."`
	Into   []string `help:"Queues that the jobs of a worker may queue into beside its own."`
	Quota  []string `help:"Quotas of a worker's queues beside \"default\"."`
	Name   string   `name:"durable" help:"Durable name of a handler."`
}

// Run asks the server who it is and what it may, and compares.
func (c authCheckCmd) Run(ctx context.Context, e *environment) error {
	names, err := stream.NewNames(e.connection.Namespace)
	if err != nil {
		return err
	}
	scope := access.Scope{Names: names, Queues: c.Queues, Into: c.Into, Quotas: c.Quota, Durable: c.Name, Inbox: "_INBOX", API: "$JS.API."}
	if prefix := e.connection.JsAPIPrefix; prefix != "" {
		scope.API = strings.TrimSuffix(prefix, ".") + "."
	}
	if c.User != "" {
		user, err := parseUser(c.User)
		if err != nil {
			return usageError{fmt.Errorf("--for %s: it is REALM:ID", task.Quote(c.User))}
		}
		scope.Owner = user.Owner()
	}
	if err := scope.Check(access.Role(c.Role)); err != nil {
		return usageError{err}
	}
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := s.brief(ctx)
	defer cancel()
	who, err := askLogin(ctx, s.nc)
	if err != nil {
		return err
	}
	in := inside(ctx, s.nc)
	scope.NoAPI = !in && e.connection.JsAPIPrefix == "" && e.connection.JsDomain == ""
	excess := access.Beyond(who.Granted(), access.Of(access.Role(c.Role), scope), scope)
	if !in {
		for i := range excess {
			excess[i].Means += ", if its account imports that"
		}
	}
	if !access.Role(c.Role).Inside() && in {
		excess = append(excess, access.Excess{
			What: "lead the server's answers to any subject", Subject: "(reply)",
			Means: "it is in the account of the streams: with the reply of a request it can have the server do anything there (put it into an account of its own, see natsasync auth setup)",
		})
	}
	view := struct {
		User    string          `json:"user"`
		Account string          `json:"account"`
		Role    string          `json:"role"`
		Beyond  []access.Excess `json:"beyond"`
	}{who.User, who.Account, c.Role, excess}
	err = e.result(view, func() error {
		if len(excess) == 0 {
			return e.say("login %s of account %s can do nothing beyond the role %s", task.Quote(who.User), task.Quote(who.Account), c.Role)
		}
		rows := make([][]cell, len(excess))
		for i, x := range excess {
			rows[i] = []cell{{x.What, ""}, {x.Subject, ""}, {x.Means, ""}}
		}
		return e.table([]string{"it can", "by", "which means"}, rows)
	})
	if err == nil && len(excess) > 0 {
		err = fmt.Errorf("login %s can do more than the role %s needs", task.Quote(who.User), c.Role)
	}
	return err
}

// whoami is the server's answer about a login.
type whoami struct {
	User        string `json:"user"`
	Account     string `json:"account"`
	Permissions *struct {
		Publish   *subjects `json:"publish"`
		Subscribe *subjects `json:"subscribe"`
	} `json:"permissions"`
}

type subjects struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// Granted is what the login may, everything if the server named no limits.
func (w *whoami) Granted() access.Granted {
	all := []string{">"}
	g := access.Granted{Publish: access.Subjects{Allow: all}, Subscribe: access.Subjects{Allow: all}}
	if w.Permissions == nil {
		return g
	}
	for _, p := range []struct {
		from *subjects
		to   *access.Subjects
	}{{w.Permissions.Publish, &g.Publish}, {w.Permissions.Subscribe, &g.Subscribe}} {
		if p.from == nil {
			continue
		}
		if len(p.from.Allow) > 0 {
			p.to.Allow = p.from.Allow
		}
		p.to.Deny = p.from.Deny
	}
	return g
}

// unlimited says whether the login may publish and listen to anything.
func (w *whoami) unlimited() bool {
	g := w.Granted()
	return slices.Contains(g.Publish.Allow, ">") && slices.Contains(g.Subscribe.Allow, ">") && len(g.Publish.Deny)+len(g.Subscribe.Deny) == 0
}

func askLogin(ctx context.Context, nc *nats.Conn) (*whoami, error) {
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, errors.New(`ask the server who this is: no answer (give the login the right to publish "$SYS.REQ.USER.INFO")`)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server who this is: %w", err)
	}
	var got struct {
		Data  *whoami `json:"data"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return nil, fmt.Errorf("ask the server who this is: %w", err)
	}
	if got.Data == nil {
		return nil, fmt.Errorf("ask the server who this is: it says %s", strings.TrimSpace(string(m.Data)))
	}
	return got.Data, nil
}

// inside says whether the login is in the account of the streams: only there does JetStream answer for the account.
func inside(ctx context.Context, nc *nats.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // what is denied is never answered
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$JS.API.INFO", nil)
	if err != nil {
		return false
	}
	var got struct {
		Streams int `json:"streams"`
	}
	return json.Unmarshal(m.Data, &got) == nil && got.Streams > 0
}
