package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/embedded"
)

const (
	theirs = `accounts {
		STREAMS: { jetstream: enabled, users: [{ user: admin, password: pw }], exports: [{ service: "$JS.API.INFO" }] }
		web: { users: [{ user: web, password: pw }], imports: [{ service: { account: STREAMS, subject: "$JS.API.INFO" }, to: "API.INFO" }] }
	`
	more = `batch: { users: [{ user: batch, password: pw }], imports: [{ service: { account: STREAMS, subject: "$JS.API.INFO" }, to: "API.INFO" }] }
	`
)

// configured are the options of a configuration's text, which may change.
func configured(t *testing.T, text *string) func(*server.Options) {
	path := filepath.Join(t.TempDir(), "server.conf")
	return func(o *server.Options) {
		if err := os.WriteFile(path, []byte(*text), 0o600); err != nil {
			t.Error(err)
		}
		part, err := server.ProcessConfigFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		*o = *part
	}
}

// asks wants an answer from the account of the streams.
func asks(t *testing.T, nc *nats.Conn) {
	t.Helper()
	m, err := nc.Request("API.INFO", nil, 10*time.Second)
	if err != nil || !strings.Contains(string(m.Data), "io.nats.jetstream.api.v1.account_info_response") {
		t.Errorf("asking for API.INFO: %v", err)
	}
}

func TestALoginThatAReloadBringsWorksAtOnce(t *testing.T) {
	t.Parallel()
	text := theirs + "}"
	for name, srv := range map[string]interface {
		Connect(opts ...nats.Option) (*nats.Conn, error)
		Reload() error
	}{
		"server":  start(t, embedded.Config{Port: -1, StoreDir: t.TempDir(), Options: configured(t, &text)}),
		"cluster": startCluster(t, 3, embedded.Config{Options: configured(t, &text)}),
	} {
		text = theirs + "}"
		web := connect(t, srv, nats.UserInfo("web", "pw")).Conn()
		asks(t, web)
		if _, err := srv.Connect(nats.UserInfo("batch", "pw"), nats.MaxReconnects(0)); err == nil {
			t.Fatalf("%s: a login that is not there gets in", name)
		}

		text = theirs + more + "}"
		if err := srv.Reload(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asks(t, connect(t, srv, nats.UserInfo("batch", "pw")).Conn())
		asks(t, web)
		if web.Stats().Reconnects != 0 {
			t.Errorf("%s: a login that has not changed was cut off", name)
		}
	}
}

func TestAReloadThatCannotBeLeavesTheServerAsItWas(t *testing.T) {
	t.Parallel()
	domain := ""
	s := start(t, embedded.Config{Port: -1, Options: func(o *server.Options) { o.JetStreamDomain = domain }})
	url := s.URL()
	js := connect(t, s)
	makeStream(t, js, 1)

	domain = "other"
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "reloading it") {
		t.Errorf("reload with another domain: %v", err)
	}
	domain = ""
	if err := s.Reload(); err != nil {
		t.Errorf("reload of the same: %v", err)
	}
	publish(t, js, "things.a", "still here")
	if s.URL() != url || s.Server().ClientURL() != url {
		t.Errorf("it listens on %s, was %s", s.Server().ClientURL(), url)
	}
	shutdown(t, s)
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "has been shut down") {
		t.Errorf("reload after the end: %v", err)
	}
}
