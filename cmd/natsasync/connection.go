package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connection is how to reach a server: the nats tool's own flags, variables and contexts. A flag goes before its
// variable, that before the context, that before nats://127.0.0.1:4222.
type connection struct {
	Server         string        `short:"s" env:"NATS_URL" placeholder:"URL" help:"URLs of the NATS servers, separated by commas (${env})."`
	Context        string        `env:"NATS_CONTEXT" placeholder:"NAME" help:"Context of the nats tool; defaults to the selected one (${env})."`
	NoContext      bool          `help:"Use no context, not the selected one either."`
	Creds          string        `env:"NATS_CREDS" placeholder:"FILE" help:"User credentials (${env})."`
	User           string        `env:"NATS_USER" placeholder:"NAME" help:"User name, or a token (${env})."`
	Password       string        `env:"NATS_PASSWORD" help:"Password (${env})."`
	Token          string        `env:"NATS_TOKEN" help:"Token (${env})."`
	Nkey           string        `env:"NATS_NKEY" placeholder:"FILE" help:"User nkey seed (${env})."`
	Tlscert        string        `env:"NATS_CERT" placeholder:"FILE" help:"TLS certificate (${env})."`
	Tlskey         string        `env:"NATS_KEY" placeholder:"FILE" help:"TLS private key (${env})."`
	Tlsca          string        `env:"NATS_CA" placeholder:"FILE" help:"TLS certificate authority (${env})."`
	Tlsfirst       bool          `help:"Do the TLS handshake before anything else."`
	Timeout        time.Duration `env:"NATS_TIMEOUT" default:"5s" help:"How long to wait for the server, and for somebody there who listens (${env}, ${default})."`
	JsDomain       string        `placeholder:"NAME" help:"JetStream domain."`
	JsAPIPrefix    string        `name:"js-api-prefix" placeholder:"SUBJECT" help:"Prefix of the JetStream API."`
	InboxPrefix    string        `placeholder:"SUBJECT" help:"Prefix of inboxes."`
	ConnectionName string        `placeholder:"NAME" help:"Name of the connection; defaults to natsasync and the command."`
	Trace          bool          `help:"Log on stderr: debug lines and the JetStream client's requests."`
	Sign           string        `env:"NATSASYNC_SIGN" placeholder:"FILE" help:"Seed or creds file to sign with what is queued and cancelled (${env})."`
	TrustFile      string        `name:"trust" env:"NATSASYNC_TRUST" placeholder:"FILE" help:"Keys whose word counts for how jobs ended; without it NATS's word does (${env})."`
	Owner          string        `env:"NATSASYNC_OWNER" placeholder:"REALM:ID" help:"The one user that the login is bound to, if it is to one (${env})."`
	Namespace      string        `env:"NATSASYNC_NAMESPACE" default:"natsasync" help:"First token of every subject (${env}, ${default})."`
}

// Validate is called by kong.
func (c connection) Validate() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout %v: it must be more than nothing", c.Timeout)
	}
	if c.Context != "" && c.NoContext {
		return fmt.Errorf("--context %q: contradicts --no-context (leave one out)", c.Context)
	}
	if c.JsDomain != "" && c.JsAPIPrefix != "" {
		return fmt.Errorf("--js-domain %q: contradicts --js-api-prefix %q (a domain is a prefix; leave one out)", c.JsDomain, c.JsAPIPrefix)
	}
	return nil
}

// settings are the flags and variables over the context.
func (c connection) settings() (*natscontext.Context, error) {
	own := []natscontext.Option{
		natscontext.WithServerURL(c.Server),
		natscontext.WithCertificate(c.Tlscert), natscontext.WithKey(c.Tlskey), natscontext.WithCA(c.Tlsca),
		natscontext.WithJSDomain(c.JsDomain), natscontext.WithJSAPIPrefix(c.JsAPIPrefix), natscontext.WithInboxPrefix(c.InboxPrefix),
	}
	if c.Tlsfirst {
		own = append(own, natscontext.WithTLSHandshakeFirst())
	}
	load := !c.NoContext
	if load && !c.login() {
		return c.load(own)
	}
	if load {
		saved, err := c.load(nil)
		if err != nil {
			return nil, err
		}
		own = append(withoutLogin(saved), own...)
	}
	own = append(own, natscontext.WithCreds(c.Creds), natscontext.WithNKey(c.Nkey), natscontext.WithToken(c.Token))
	if c.User != "" && c.Password == "" {
		own = append(own, natscontext.WithToken(c.User))
	} else {
		own = append(own, natscontext.WithUser(c.User), natscontext.WithPassword(c.Password))
	}
	return natscontext.New("", false, own...)
}

// login says whether flags or variables tell who connects: then the context's word for it does not count.
func (c connection) login() bool {
	return c.Creds != "" || c.User != "" || c.Password != "" || c.Token != "" || c.Nkey != ""
}

func (c connection) load(own []natscontext.Option) (*natscontext.Context, error) {
	saved, err := natscontext.New(c.Context, true, own...)
	if errors.Is(err, natscontext.ErrNotFound) {
		return nil, fmt.Errorf("context %q: there is none of that name (%s)", c.contextName(), knownContexts())
	}
	if err != nil {
		return nil, fmt.Errorf("reading context %q: %w", c.contextName(), err)
	}
	return saved, nil
}

func (c connection) contextName() string {
	if c.Context != "" {
		return c.Context
	}
	return natscontext.SelectedContext()
}

func knownContexts() string {
	known := natscontext.KnownContexts()
	if len(known) == 0 {
		return `there are none; make one with "nats context add"`
	}
	quoted := make([]string, len(known))
	for i, name := range known {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return "there are " + strings.Join(quoted, ", ")
}

func withoutLogin(saved *natscontext.Context) []natscontext.Option {
	kept := []natscontext.Option{
		natscontext.WithServerURL(saved.ServerURL()),
		natscontext.WithCertificate(saved.Certificate()), natscontext.WithKey(saved.Key()), natscontext.WithCA(saved.CA()),
		natscontext.WithJSDomain(saved.JSDomain()), natscontext.WithJSAPIPrefix(saved.JSAPIPrefix()),
		natscontext.WithInboxPrefix(saved.InboxPrefix()), natscontext.WithSocksProxy(saved.SocksProxy()),
	}
	if saved.TLSHandshakeFirst() {
		kept = append(kept, natscontext.WithTLSHandshakeFirst())
	}
	return kept
}

// connect connects for a command. Whoever connects closes.
func (e *environment) connect() (*session, error) {
	c := e.connection
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	name := c.ConnectionName
	if name == "" {
		name = "natsasync " + withoutArguments(e.command)
	}
	closed := make(chan struct{})
	opts, err := settings.NATSOptions(
		nats.Name(name), nats.Timeout(c.Timeout), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) { e.hear(nc, err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	)
	if err != nil {
		return nil, fmt.Errorf("reading the login: %w (%s)", err, c.remedy(settings, err))
	}
	nc, err := nats.Connect(settings.ServerURL(), opts...)
	if err != nil {
		return nil, c.refused(settings, err)
	}
	js, err := jetStream(nc, settings, e.tracing())
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	return &session{environment: e, nc: nc, js: js, closed: closed}, nil
}

func jetStream(nc *nats.Conn, settings *natscontext.Context, opts []jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	switch {
	case settings.JSDomain() != "":
		return jetstream.NewWithDomain(nc, settings.JSDomain(), opts...)
	case settings.JSAPIPrefix() != "":
		return jetstream.NewWithAPIPrefix(nc, settings.JSAPIPrefix(), opts...)
	}
	return jetstream.New(nc, opts...)
}

// tracing tells the requests that go through the JetStream client.
func (e *environment) tracing() []jetstream.JetStreamOpt {
	if !e.connection.Trace {
		return nil
	}
	return []jetstream.JetStreamOpt{jetstream.WithClientTrace(&jetstream.ClientTrace{
		RequestSent:      func(subject string, payload []byte) { e.remark(">>> %s %s", subject, payload) },
		ResponseReceived: func(subject string, payload []byte, _ nats.Header) { e.remark("<<< %s %s", subject, payload) },
	})}
}

// withoutArguments is a command as kong names it, "job info <id>", without what follows its verb.
func withoutArguments(command string) string {
	name, _, _ := strings.Cut(command, " <")
	name, _, _ = strings.Cut(name, " [")
	return name
}

// redact shows addresses without passwords.
func redact(servers string) string {
	shown := strings.Split(servers, ",")
	for i, server := range shown {
		u, err := url.Parse(strings.TrimSpace(server))
		if err == nil && u.User != nil {
			u.User = url.User("xxxxx")
			shown[i] = u.String()
		}
	}
	return strings.Join(shown, ",")
}
