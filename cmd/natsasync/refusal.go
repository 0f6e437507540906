package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/nats-io/jsm.go/natscontext"
	"github.com/nats-io/nats.go"
)

// refused says why there is no connection, and what to do about it.
func (c connection) refused(settings *natscontext.Context, err error) error {
	return fmt.Errorf("connecting to %s: %w (%s)", redact(settings.ServerURL()), err, c.remedy(settings, err))
}

func (c connection) remedy(settings *natscontext.Context, err error) string {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return "correct " + c.fileFrom(settings, file.Path)
	}
	for _, refusal := range [...]error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked} {
		if errors.Is(err, refusal) {
			return c.loginFrom(settings)
		}
	}
	if strings.Contains(err.Error(), "nkey seed") {
		return "correct --nkey or --creds: the file holds no seed"
	}
	switch dial, ok := errors.AsType[*net.OpError](err); {
	case errors.Is(err, nats.ErrSecureConnWanted), errors.Is(err, nats.ErrSecureConnRequired), strings.Contains(err.Error(), "tls: "):
		return "correct --tlsca, --tlscert, --tlskey, --tlsfirst or the context"
	case errors.Is(err, nats.ErrNoServers), ok && dial.Op == "dial":
		return `start a server with "natsasync server", or correct --server or the context`
	}
	return "correct --server, the login or the context"
}

// setting is a value that a flag, a variable or the context has given.
type setting struct{ flag, variable, given, used string }

func (c connection) from(s setting) string {
	switch {
	case s.given == "":
		return fmt.Sprintf("context %q", c.contextName())
	case s.given == os.Getenv(s.variable):
		return s.variable
	}
	return "--" + s.flag
}

func (c connection) fileFrom(settings *natscontext.Context, path string) string {
	for _, s := range [...]setting{
		{"creds", "NATS_CREDS", c.Creds, settings.Creds()},
		{"nkey", "NATS_NKEY", c.Nkey, settings.NKey()},
		{"tlscert", "NATS_CERT", c.Tlscert, settings.Certificate()},
		{"tlskey", "NATS_KEY", c.Tlskey, settings.Key()},
		{"tlsca", "NATS_CA", c.Tlsca, settings.CA()},
	} {
		if s.used == path {
			return c.from(s)
		}
	}
	return "the flag or the context that names it"
}

// loginFrom goes through the logins in the order in which they count.
func (c connection) loginFrom(settings *natscontext.Context) string {
	if redact(settings.ServerURL()) != settings.ServerURL() {
		return "correct the login in the server's address"
	}
	for _, s := range [...]setting{
		{"user", "NATS_USER", c.User, cmp.Or(settings.User(), c.User)},
		{"creds", "NATS_CREDS", c.Creds, settings.Creds()},
		{"nkey", "NATS_NKEY", c.Nkey, settings.NKey()},
		{used: settings.UserJWT()},
		{"token", "NATS_TOKEN", c.Token, settings.Token()},
	} {
		if s.used != "" {
			return "correct the login from " + c.from(s)
		}
	}
	return "the server wants a login: give --user, --creds, --nkey, --token or --context"
}
