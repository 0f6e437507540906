package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Login is somebody who logs in with an nkey.
type Login struct {
	Name   string
	Public string
	Rights Rights
	Inside bool // in the account of the streams
}

// Setup is a NATS server's accounts and logins.
type Setup struct {
	// Streams and Apps are the names of the account of the streams, and of that of all who must not reach them otherwise
	// than their roles let them.
	Streams, Apps string
	Logins        []Login
}

// NewSetup returns a setup of logins.
func NewSetup(logins ...Login) Setup {
	return Setup{Streams: "NATSASYNC", Apps: "APPS", Logins: logins}
}

// crossing is what apps import from the account of the streams.
type crossing struct {
	subject string // in the account of the streams
	local   string // in that of the apps
	stream  bool   // messages come of themselves, not as answers
	many    bool   // an answer is many messages
	share   bool   // the server says who asks
}

// crossings are what any login outside needs, for all owners: permissions then narrow it.
func (s Setup) crossings() []crossing {
	var all []crossing
	add := func(c crossing) {
		if !slices.ContainsFunc(all, func(o crossing) bool { return o.subject == c.subject && o.stream == c.stream }) {
			all = append(all, c)
		}
	}
	for _, l := range s.Logins {
		if l.Inside {
			continue
		}
		for _, subject := range l.Rights.Publish {
			if strings.HasPrefix(subject, "$SYS.") {
				continue
			}
			local := widen(subject)
			subject := local
			if rest, ok := strings.CutPrefix(local, OutsideAPI); ok {
				subject = insideAPI + rest
			}
			add(crossing{subject: subject, local: local, share: strings.HasSuffix(subject, ".gateway.queue"), many: strings.Contains(subject, ".MSG.NEXT.") || strings.Contains(subject, ".DIRECT.GET.") || strings.HasPrefix(subject, "$SRV.")})
		}
		for _, subject := range l.Rights.Subscribe {
			if strings.HasPrefix(subject, "_INBOX") || strings.HasPrefix(subject, "$SRV.") {
				continue
			}
			add(crossing{subject: widen(subject), local: widen(subject), stream: true})
		}
	}
	return slices.DeleteFunc(all, func(c crossing) bool {
		return slices.ContainsFunc(all, func(o crossing) bool {
			return o.stream == c.stream && o.subject != c.subject && covers(o.subject, c.subject)
		})
	})
}

// widen turns the owner in a subject into any: what one login imports, all of its account do.
func widen(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if isOwner(t) {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// isOwner says whether a token is one that task.User.Owner makes.
func isOwner(token string) bool {
	if token == "anon" {
		return true
	}
	if len(token) != 16 {
		return false
	}
	return strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// covers says whether every subject that b matches is matched by a.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, t := range as {
		switch {
		case t == ">":
			return len(bs) > i
		case i >= len(bs), bs[i] == ">":
			return false
		case t != "*" && t != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}

// Config is the setup as part of a server's configuration file.
func (s Setup) Config() string {
	var b strings.Builder
	put := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", indent))
		fmt.Fprintf(&b, format+"\n", args...)
	}
	list := func(subjects []string) string {
		quoted := make([]string, len(subjects))
		for i, subject := range subjects {
			quoted[i] = fmt.Sprintf("%q", subject)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	users := func(inside bool) {
		put(2, "users: [")
		for _, l := range s.Logins {
			if l.Inside != inside {
				continue
			}
			put(3, "# %s", l.Name)
			put(3, "{ nkey: %s, permissions: {", l.Public)
			put(4, "publish: %s", list(l.Rights.Publish))
			put(4, "subscribe: %s", list(l.Rights.Subscribe))
			if l.Rights.Answers {
				put(4, "allow_responses: true")
			}
			put(3, "} }")
		}
		put(2, "]")
	}
	put(0, "accounts {")
	put(1, "%s: {", s.Streams)
	put(2, "jetstream: enabled")
	users(true)
	put(2, "exports: [")
	for _, c := range s.crossings() {
		switch {
		case c.stream:
			put(3, "{ stream: %q, accounts: [%s] }", c.subject, s.Apps)
		case c.many:
			put(3, "{ service: %q, response_type: Stream, accounts: [%s] }", c.subject, s.Apps)
		default:
			put(3, "{ service: %q, accounts: [%s] }", c.subject, s.Apps)
		}
	}
	put(2, "]")
	put(1, "}")
	put(1, "%s: {", s.Apps)
	users(false)
	put(2, "imports: [")
	for _, c := range s.crossings() {
		kind := "service"
		if c.stream {
			kind = "stream"
		}
		to := ""
		if c.local != c.subject {
			to = fmt.Sprintf(", to: %q", c.local)
		}
		if c.share {
			to += ", share: true"
		}
		put(3, "{ %s: { account: %s, subject: %q }%s }", kind, s.Streams, c.subject, to)
	}
	put(2, "]")
	put(1, "}")
	put(0, "}")
	return b.String()
}

// Tokens is the setup as JWTs: a server's configuration, and the creds of each login.
type Tokens struct {
	Config string
	Creds  map[string][]byte
	// Apps is the account of the apps, as the server names it.
	Apps string
	// Operator and the accounts' seeds sign what is added later.
	Seeds map[string][]byte
}

// Tokens signs the setup with an operator made for it. seeds are those of the logins, by name.
func (s Setup) Tokens(seeds map[string][]byte) (*Tokens, error) {
	out := &Tokens{Creds: make(map[string][]byte), Seeds: make(map[string][]byte)}
	operator, operatorID, err := out.key("operator", nkeys.CreateOperator)
	if err != nil {
		return nil, err
	}
	streams, streamsID, err := out.key(s.Streams, nkeys.CreateAccount)
	if err != nil {
		return nil, err
	}
	apps, appsID, err := out.key(s.Apps, nkeys.CreateAccount)
	if err != nil {
		return nil, err
	}
	out.Apps = appsID
	_, systemID, err := out.key("SYS", nkeys.CreateAccount)
	if err != nil {
		return nil, err
	}
	inside, outside, system := jwt.NewAccountClaims(streamsID), jwt.NewAccountClaims(appsID), jwt.NewAccountClaims(systemID)
	inside.Name, outside.Name, system.Name = s.Streams, s.Apps, "SYS"
	inside.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	for _, c := range s.crossings() {
		kind, answers := jwt.Service, jwt.ResponseType(jwt.ResponseTypeSingleton)
		switch {
		case c.stream:
			kind, answers = jwt.Stream, ""
		case c.many:
			answers = jwt.ResponseTypeStream
		}
		inside.Exports.Add(&jwt.Export{Name: c.subject, Subject: jwt.Subject(c.subject), Type: kind, ResponseType: answers, TokenReq: true})
		activation := jwt.NewActivationClaims(appsID)
		activation.ImportSubject, activation.ImportType = jwt.Subject(c.subject), kind
		token, err := activation.Encode(streams)
		if err != nil {
			return nil, fmt.Errorf("sign the activation of %q: %w", c.subject, err)
		}
		one := &jwt.Import{Name: c.subject, Subject: jwt.Subject(c.subject), Account: streamsID, Type: kind, Token: token, Share: c.share}
		if c.local != c.subject {
			one.LocalSubject = jwt.RenamingSubject(renamed(c.local))
		}
		outside.Imports.Add(one)
	}
	claims := jwt.NewOperatorClaims(operatorID)
	claims.Name, claims.SystemAccount = "natsasync", systemID
	own, err := claims.Encode(operator)
	if err != nil {
		return nil, fmt.Errorf("sign the operator: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", own, systemID)
	for _, account := range []*jwt.AccountClaims{inside, outside, system} {
		token, err := account.Encode(operator)
		if err != nil {
			return nil, fmt.Errorf("sign account %q: %w", account.Name, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", account.Name, account.Subject, token)
	}
	b.WriteString("}\n")
	out.Config = b.String()
	for _, l := range s.Logins {
		signer := apps
		if l.Inside {
			signer = streams
		}
		user := jwt.NewUserClaims(l.Public)
		user.Name = l.Name
		user.Permissions.Pub.Allow = l.Rights.Publish
		user.Permissions.Sub.Allow = l.Rights.Subscribe
		if l.Rights.Answers {
			user.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1}
		}
		token, err := user.Encode(signer)
		if err != nil {
			return nil, fmt.Errorf("sign login %q: %w", l.Name, err)
		}
		if out.Creds[l.Name], err = jwt.FormatUserConfig(token, seeds[l.Name]); err != nil {
			return nil, fmt.Errorf("write the creds of login %q: %w", l.Name, err)
		}
	}
	return out, nil
}

// renamed is a subject whose wildcards stand for those of the one that it takes the place of.
func renamed(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, n := 0, 0; i < len(tokens); i++ {
		if tokens[i] == "*" {
			n++
			tokens[i] = fmt.Sprintf("$%d", n)
		}
	}
	return strings.Join(tokens, ".")
}

func (t *Tokens) key(name string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string, error) {
	pair, err := create()
	if err != nil {
		return nil, "", fmt.Errorf("make the key of %q: %w", name, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, "", fmt.Errorf("make the key of %q: %w", name, err)
	}
	t.Seeds[name] = seed
	public, err := pair.PublicKey()
	return pair, public, err
}
