package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

type authCheckCmd struct {
	Roles  []string `arg:"" name:"role" help:"What the login is for, one or several: producer, waiter, canceller, watcher, handler, operator, worker, admin, gateway, caller."`
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
	needs, inside, err := c.needs(scope)
	if err != nil {
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
	at := s.place(ctx, who, names)
	scope.NoAPI = at == outside && e.connection.JsAPIPrefix == "" && e.connection.JsDomain == ""
	excess := access.Beyond(who.Granted(), needs, scope)
	for i := range excess {
		excess[i].Means += string(at)
	}
	if at == within && !inside {
		excess = append(excess, access.Excess{
			What: "lead the server's answers to any subject", Subject: "(reply)",
			Means: "it is in the account of the streams: with the reply of a request it can have the server do anything there (put it into an account of its own, see natsasync auth setup)",
		})
	}
	if at == unknown && !inside {
		e.remark(`whether it is in the account of the streams, where it could do anything, is not known: it may not ask (give --js-api-prefix if it is in another, or let it publish "$JS.API.INFO" for the check)`)
	}
	roles, need := "role "+c.Roles[0], "needs"
	if len(c.Roles) > 1 {
		roles, need = "roles "+strings.Join(c.Roles, ", "), "need"
	}
	view := struct {
		User    string          `json:"user"`
		Account string          `json:"account"`
		Roles   []string        `json:"roles"`
		Beyond  []access.Excess `json:"beyond"`
	}{who.User, who.Account, c.Roles, excess}
	err = e.result(view, func() error {
		if len(excess) == 0 {
			return e.say("login %s of account %s can do nothing beyond the %s", task.Quote(who.name()), task.Quote(who.account()), roles)
		}
		rows := make([][]cell, len(excess))
		for i, x := range excess {
			rows[i] = []cell{{x.What, ""}, {x.Subject, ""}, {x.Means, ""}}
		}
		return e.table([]string{"it can", "by", "which means"}, rows)
	})
	if err == nil && len(excess) > 0 {
		err = fmt.Errorf("login %s can do more than the %s %s", task.Quote(who.name()), roles, need)
	}
	return err
}

// needs are the rights of the roles, and whether one of them belongs into the account of the streams.
func (c authCheckCmd) needs(scope access.Scope) (needs access.Rights, inside bool, err error) {
	for _, role := range c.Roles {
		if err := scope.Check(access.Role(role)); err != nil {
			return needs, false, err
		}
		needs.Add(access.Of(access.Role(role), scope))
		inside = inside || access.Role(role).Inside()
	}
	return needs, inside, nil
}

// place is where a login is, as far as it may find out, and what that adds to what it can do.
type place string

const (
	within  place = ""
	outside place = ", if its account imports that"
	unknown place = ", if it is in the account of the streams, or imports that"
)

// place asks JetStream, which answers for the account that a login is in, what the login may ask of it.
func (s *session) place(ctx context.Context, who *whoami, names stream.Names) place {
	const api = "$JS.API."
	may := who.Granted().Publish
	for _, subject := range []string{
		api + "STREAM.INFO." + names.Jobs(), api + "INFO", api + "DIRECT.GET." + names.Jobs() + "." + names.Keel(),
	} {
		if !may.Has(subject) {
			continue
		}
		m, err := s.nc.RequestWithContext(ctx, subject, nil)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return outside
		case err != nil:
			return unknown
		case ofStreams(m):
			return within
		}
		return outside
	}
	if prefix := s.connection.JsAPIPrefix; prefix != "" && !strings.HasPrefix(prefix, "$JS.") {
		return outside
	}
	return unknown
}

// ofStreams says whether an answer tells of streams that are there.
func ofStreams(m *nats.Msg) bool {
	var got struct {
		Streams int       `json:"streams"`
		Config  *struct{} `json:"config"`
	}
	return m.Header.Get(jetstream.StreamHeader) != "" || json.Unmarshal(m.Data, &got) == nil && (got.Streams > 0 || got.Config != nil)
}

// whoami is the server's answer about a login.
type whoami struct {
	User        string `json:"user"`
	UserName    string `json:"user_name"` // of a JWT
	Account     string `json:"account"`
	AccountName string `json:"account_name"`
	Permissions *struct {
		Publish   *subjects `json:"publish"`
		Subscribe *subjects `json:"subscribe"`
	} `json:"permissions"`
}

type subjects struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

func (w *whoami) name() string    { return cmp.Or(w.UserName, w.User) }
func (w *whoami) account() string { return cmp.Or(w.AccountName, w.Account) }

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
