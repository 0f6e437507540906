package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
)

func TestTheZeroConfigIsAServerWithoutASocket(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{})
	js := connect(t, s)
	makeStream(t, js, 1)
	publish(t, js, "things.a", "hello")

	if got := lastBody(t, js, "things.a"); got != "hello" {
		t.Errorf("stored %q, want %q", got, "hello")
	}
	if s.URL() != "" || s.Server().Addr() != nil {
		t.Errorf("it listens: URL %q, address %v", s.URL(), s.Server().Addr())
	}
}

func TestShutdownRemovesATemporaryStore(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{})
	makeStream(t, connect(t, s), 1)
	dir := filepath.Dir(s.Server().StoreDir())
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("store directory after Shutdown: %v, want it gone", err)
	}
}

func TestAStoreDirSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	first := start(t, embedded.Config{StoreDir: dir})
	js := connect(t, first)
	makeStream(t, js, 1)
	publish(t, js, "things.a", "still here")
	js.Conn().Close()
	shutdown(t, first)

	second := start(t, embedded.Config{StoreDir: dir})
	if got := lastBody(t, connect(t, second), "things.a"); got != "still here" {
		t.Errorf("after the restart %q, want %q", got, "still here")
	}
}

func TestOnlyAStoreDirIsSynced(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  embedded.Config
		want bool
	}{
		{"throw-away", embedded.Config{}, false},
		{"StoreDir", embedded.Config{StoreDir: t.TempDir()}, true},
		{"StoreDir with NoSync", embedded.Config{StoreDir: t.TempDir(), NoSync: true}, false},
	} {
		s := start(t, tc.cfg)
		vars, err := s.Server().Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := vars.JetStream.Config.SyncAlways; got != tc.want {
			t.Errorf("%s: syncs every write: %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestASecondServerOnAStoreDirIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, embedded.Config{StoreDir: dir})
	_, err := embedded.Start(embedded.Config{StoreDir: dir})
	if err == nil {
		t.Fatal("two servers on one directory")
	}
	for _, want := range []string{dir, "another server is using it", "shut that one down"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}

	shutdown(t, first)
	start(t, embedded.Config{StoreDir: dir})
}

func TestAStoreDirThatIsAFileIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(embedded.Config{StoreDir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
}

func TestAPortInUseIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = embedded.Start(embedded.Config{StoreDir: dir, Port: l.Addr().(*net.TCPAddr).Port})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v, want %v", err, syscall.EADDRINUSE)
	}
	if !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %q does not name %s", err, l.Addr())
	}

	start(t, embedded.Config{StoreDir: dir}) // the failed start has let go of the directory
}

func TestAMonitoringPortInUseIsAnErrorToo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = embedded.Start(embedded.Config{Options: func(o *server.Options) {
		o.HTTPHost, o.HTTPPort = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v, want an error that names %s", err, l.Addr())
	}
}

func TestAServerWithAPortTakesConnectionsThere(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{Port: -1})
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatalf("connecting to %q: %v", s.URL(), err)
	}
	defer nc.Close()
	if got := nc.ConnectedServerName(); got != "natsasync" {
		t.Errorf("connected to %q, want natsasync", got)
	}
	connect(t, s) // in process as well
}

func TestConfigsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cfg  embedded.Config
		want string
	}{
		{embedded.Config{Port: -2}, `embedded: port "-2"`},
		{embedded.Config{Port: 65536}, `embedded: port "65536"`},
		{embedded.Config{Host: "0.0.0.0"}, `embedded: host "0.0.0.0"`},
		{embedded.Config{Name: "two words"}, "embedded: configuring the server"},
	} {
		s, err := embedded.Start(tc.cfg)
		if err == nil {
			shutdown(t, s)
			t.Errorf("%+v was taken", tc.cfg)
			continue
		}
		if !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("got %q, want %q first", err, tc.want)
		}
	}
}

func TestOptionsCannotTakeBackWhatConfigDecides(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{StoreDir: t.TempDir(), Options: func(o *server.Options) {
		o.MaxPayload = 2048
		o.SyncAlways, o.StoreDir, o.ServerName, o.DontListen = false, os.TempDir(), "other", false
	}})
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got := nc.MaxPayload(); got != 2048 {
		t.Errorf("max payload %d, want the 2048 of Options", got)
	}
	vars, err := s.Server().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !vars.JetStream.Config.SyncAlways || vars.Name != "natsasync" || s.URL() != "" {
		t.Errorf("Options took back: sync %t, name %q, URL %q", vars.JetStream.Config.SyncAlways, vars.Name, s.URL())
	}
}

func TestShutdownMayBeCalledByMany(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{StoreDir: t.TempDir()})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { shutdown(t, s) })
	}
	wg.Wait()
	shutdown(t, s)
	if _, err := s.Connect(); err == nil || !strings.Contains(err.Error(), "has been shut down") {
		t.Errorf("connecting after Shutdown: %v", err)
	}
}

func TestShutdownGoesOnWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{})
	makeStream(t, connect(t, s), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	shutdown(t, s)
	if s.Server().Running() {
		t.Error("still running")
	}
}

func TestTheServersLogGoesToTheLogger(t *testing.T) {
	t.Parallel()
	var out buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := start(t, embedded.Config{Name: "chatty", Logger: log})
	js := connect(t, s)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "THINGS"})
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	for _, want := range []string{
		`level=INFO msg="nats server started" server=chatty`,
		`level=DEBUG msg="Starting nats-server" server=chatty`,
		`level=INFO msg="nats server stopped" server=chatty`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "level=DEBUG-4") {
		t.Error("the server's own debug lines came at Debug")
	}
}

// buffer is a bytes.Buffer that a running server may write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
