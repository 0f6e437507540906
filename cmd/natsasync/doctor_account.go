package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/nats-io/nats.go"
)

// login asks the server once who this is.
func (d *doctor) login(ctx context.Context) (*whoami, error) {
	if d.who == nil && d.nobody == nil {
		short, cancel := d.brief(ctx)
		defer cancel()
		d.who, d.nobody = askLogin(short, d.nc)
	}
	return d.who, d.nobody
}

// may says whether the login may ask something: what it may not, the server would log as an error.
func (d *doctor) may(ctx context.Context, subject string) bool {
	who, err := d.login(ctx)
	return err != nil || who.Granted().Publish.Has(subject)
}

// account says whether this login is in the account of the streams, where no right limits what answers it leads where.
func (d *doctor) account(ctx context.Context) {
	who, err := d.login(ctx)
	const means, fix = "the server publishes an answer where who asks has said, so whoever is in this account can do anything with the streams",
		"give each service a login in an account of its own: natsasync auth setup, docs/security.md"
	switch {
	case err != nil:
		d.found(finding{note, "account", "whether this login is in the account of the streams is not known: " + err.Error(), means, fix})
	case who.User == "" && d.local():
		d.found(finding{
			note, "account", "the server asks for no login",
			"whoever reaches it can queue as any user, and write outcomes", "let only services of yours reach it, or set up logins: docs/security.md",
		})
	case who.User == "":
		d.found(finding{
			critical, "account", "the server asks for no login, and listens beyond this machine",
			"whoever reaches it can queue as any user, and write outcomes", "set up logins: natsasync auth setup, docs/security.md",
		})
	case !strings.HasPrefix(d.b.APIPrefix(), "$JS."):
		d.ok("account", "login %s is in account %s, and the streams are in another", who.name(), who.account())
	case who.unlimited():
		d.found(finding{note, "account", fmt.Sprintf("login %s may do everything in account %s, as an administrator", who.name(), who.account()), "", ""})
	default:
		d.found(finding{warning, "account", fmt.Sprintf("login %s, which has not all rights, is in account %s, as the streams are", who.name(), who.account()), means, fix})
	}
	if err == nil && who.User != "" {
		d.anonymous(ctx, who)
	}
}

// anonymous tries to get in without a login, as no_auth_user of a server lets everybody do.
func (d *doctor) anonymous(ctx context.Context, own *whoami) {
	nc, err := d.connectAnonymously()
	if err != nil {
		d.ok("login", "nobody gets in without one")
		return
	}
	defer nc.Close()
	short, cancel := d.brief(ctx)
	defer cancel()
	who, err := askLogin(short, nc)
	switch {
	case err != nil:
		d.found(finding{warning, "login", "whoever has none gets in too; as whom is not known: " + err.Error(), "", "remove no_auth_user from the server's configuration"})
	case who.Account == own.Account:
		d.found(finding{
			critical, "login", fmt.Sprintf("whoever has none gets in as %s, into account %s", who.name(), who.account()),
			"whoever reaches the server can do what this login may", "remove no_auth_user from the server's configuration, or let it name a user of another account",
		})
	default:
		d.found(finding{
			note, "login", fmt.Sprintf("whoever has none gets in as %s, into account %s", who.name(), who.account()), "they can do what that login may: natsasync auth check tells it",
			"remove no_auth_user from the server's configuration, unless it is meant so",
		})
	}
}

func (d *doctor) connectAnonymously() (*nats.Conn, error) {
	settings, err := d.connection.settings()
	if err != nil {
		return nil, err
	}
	nameless, err := natscontext.New("", false, withoutLogin(settings)...)
	if err != nil {
		return nil, err
	}
	opts, err := nameless.NATSOptions(nats.Name("natsasync doctor"), nats.Timeout(d.connection.Timeout), nats.NoReconnect())
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(d.nc.ConnectedUrl())
	if err != nil {
		return nil, err
	}
	at.User = nil
	return nats.Connect(at.String(), opts...)
}

// line says whether others can listen on the way to the server.
func (d *doctor) line() {
	at, err := url.Parse(d.nc.ConnectedUrl())
	if _, plain := d.nc.TLSConnectionState(); plain == nil || err == nil && at.Scheme == "wss" {
		d.ok("line", "it is TLS")
		return
	}
	if d.local() {
		d.ok("line", "it is not TLS, and stays on this machine")
		return
	}
	d.found(finding{
		warning, "line", fmt.Sprintf("the one to %s is not TLS", d.nc.ConnectedAddr()),
		"who can listen on it reads inputs, results and passwords, and can change jobs that are not signed", "set up tls in the server's configuration, then use --tlsca or the context",
	})
}

// local says whether the server is reached on an address that other machines cannot reach.
func (d *doctor) local() bool {
	host, _, err := net.SplitHostPort(d.nc.ConnectedAddr())
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
