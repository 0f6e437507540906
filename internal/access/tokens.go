package access

import (
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Tokens is the setup as JWTs: a server's configuration, and the creds of each login.
type Tokens struct {
	Config string
	Creds  map[string][]byte
	// Seeds are those of the operator and of each account, by name: they sign what is added later.
	Seeds map[string][]byte
}

// What signs accounts, and the account of the server's own.
const (
	SignerOperator = "operator"
	system         = "SYS"
)

// Signers are the names of those whose seeds [Setup.Tokens] makes: the operator and the accounts.
func (s Setup) Signers() []string {
	all := []string{SignerOperator, system}
	for _, a := range s.accounts() {
		all = append(all, a.name)
	}
	return all
}

// signing is an account that is being put together.
type signing struct {
	account
	pair   nkeys.KeyPair
	claims *jwt.AccountClaims
}

// Tokens signs the setup. seeds are those of the logins, by name; signers those of an earlier setup, which are made where
// there are none, and earlier is its configuration, "" without one.
func (s Setup) Tokens(seeds, signers map[string][]byte, earlier string) (*Tokens, error) {
	there := keptOf(earlier)
	out := &Tokens{Creds: make(map[string][]byte), Seeds: maps.Clone(signers)}
	if out.Seeds == nil {
		out.Seeds = make(map[string][]byte)
	}
	all := map[string]*signing{}
	accounts := append(s.accounts(), account{name: system})
	for _, a := range accounts {
		pair, id, err := out.key(a.name, nkeys.CreateAccount)
		if err != nil {
			return nil, err
		}
		claims := jwt.NewAccountClaims(id)
		claims.Name = a.name
		if a.name == s.Streams {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
		}
		all[a.name] = &signing{a, pair, claims}
	}
	operator, id, err := out.key(SignerOperator, nkeys.CreateOperator)
	if err != nil {
		return nil, err
	}
	claims := jwt.NewOperatorClaims(id)
	claims.Name, claims.SystemAccount = "natsasync", all[system].claims.Subject
	own, err := claims.Encode(operator)
	if err != nil {
		return nil, fmt.Errorf("sign the operator: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", there.instead(id, own), claims.SystemAccount)
	for _, a := range accounts {
		token, err := all[a.name].encode(all, operator)
		if err != nil {
			return nil, fmt.Errorf("sign account %q: %w", a.name, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", a.name, all[a.name].claims.Subject, there.instead(all[a.name].claims.Subject, token))
		for _, l := range a.logins {
			if out.Creds[l.Name], err = credsOf(l, all[a.name].pair, seeds[l.Name]); err != nil {
				return nil, fmt.Errorf("write the creds of login %q: %w", l.Name, err)
			}
		}
	}
	b.WriteString("}\n")
	out.Config = b.String()
	return out, nil
}

func (a *signing) encode(all map[string]*signing, operator nkeys.KeyPair) (string, error) {
	for _, e := range a.exports {
		kind, answers := jwt.Service, jwt.ResponseType(jwt.ResponseTypeSingleton)
		switch {
		case e.stream:
			kind, answers = jwt.Stream, ""
		case e.many():
			answers = jwt.ResponseTypeStream
		}
		a.claims.Exports.Add(&jwt.Export{Name: e.subject, Subject: jwt.Subject(e.subject), Type: kind, ResponseType: answers, TokenReq: true})
	}
	for _, c := range a.imports {
		from := all[c.from]
		kind := jwt.Service
		if c.stream {
			kind = jwt.Stream
		}
		activation := jwt.NewActivationClaims(a.claims.Subject)
		activation.ImportSubject, activation.ImportType = jwt.Subject(c.subject), kind
		token, err := activation.Encode(from.pair)
		if err != nil {
			return "", fmt.Errorf("sign the activation of %q: %w", c.subject, err)
		}
		one := &jwt.Import{Name: c.from + " " + c.subject, Subject: jwt.Subject(c.subject), Account: from.claims.Subject, Type: kind, Token: token}
		if c.local != c.subject {
			one.LocalSubject = jwt.RenamingSubject(renamed(c.local))
		}
		a.claims.Imports.Add(one)
	}
	return a.claims.Encode(operator)
}

func credsOf(l Login, account nkeys.KeyPair, seed []byte) ([]byte, error) {
	user := jwt.NewUserClaims(l.Public)
	user.Name = l.Name
	user.Permissions.Pub.Allow = l.Rights.Publish
	user.Permissions.Sub.Allow = l.Rights.Subscribe
	if len(l.Rights.Serves) > 0 {
		user.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1}
	}
	token, err := user.Encode(account)
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
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

// key returns the key of a signer, made if there is none.
func (t *Tokens) key(name string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string, error) {
	pair, err := nkeys.FromSeed(t.Seeds[name])
	if t.Seeds[name] == nil {
		pair, err = create()
	}
	if err != nil {
		return nil, "", fmt.Errorf("make the key of %q: %w", name, err)
	}
	if t.Seeds[name], err = pair.Seed(); err != nil {
		return nil, "", fmt.Errorf("make the key of %q: %w", name, err)
	}
	public, err := pair.PublicKey()
	return pair, public, err
}
