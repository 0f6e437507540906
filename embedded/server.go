package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	startTimeout = 10 * time.Second
	// pollWait is just over what ReadyForConnections sleeps between two looks.
	pollWait = 30 * time.Millisecond
)

// Server is a running NATS server. Its methods are safe for concurrent use.
type Server struct {
	srv   *server.Server
	store *store
	log   *serverLog
	url   string

	options func() *server.Options
	reload  sync.Mutex
	stop    sync.Once
	stopped chan struct{}
	stopErr error // written before stopped is closed
}

// Start runs a server and returns when it takes connections. A port or a
// StoreDir that somebody else has is an error that names it; the port's matches
// [syscall.EADDRINUSE]. After an error nothing is left running or locked.
func Start(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Host != "" && cfg.Port == 0 {
		return nil, fmt.Errorf("embedded: host %q: says nothing without a port (set Port, -1 for any free one)", cfg.Host)
	}
	if cfg.StoreDir != "" {
		if err := checkSingle(cfg.StoreDir); err != nil {
			return nil, err
		}
	}
	st, err := openStore(cfg.StoreDir)
	if err != nil {
		return nil, err
	}
	return run(cfg.options, st, cfg.Logger)
}

// run starts a server on a store, which it owns from here on.
func run(options func() *server.Options, st *store, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = defaultLogger()
	}
	stored := func() *server.Options {
		opts := options()
		opts.StoreDir = st.dir
		return opts
	}
	opts := stored()
	out := newServerLog(log.With("server", opts.ServerName))
	out.forming.Store(len(opts.Routes) > 0)
	srv, err := launch(opts, out)
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	s := &Server{srv: srv, store: st, log: out, options: stored, stopped: make(chan struct{})}
	if !opts.DontListen {
		s.url = srv.ClientURL()
	}
	out.log.Info("nats server started", "url", s.url, "store", st.dir)
	return s, nil
}

func launch(opts *server.Options, log *serverLog) (*server.Server, error) {
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded: configuring the server: %w", err)
	}
	srv.SetLoggerV2(log, log.enabled(levelTrace), false, false)
	srv.Start()
	if err := awaitReady(srv, log.fatal); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, explain(err)
	}
	return srv, nil
}

// explain names the port when a port is what is wrong.
func explain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("embedded: address %q: is in use (choose another port, or -1 for any free one): %w", op.Addr, err)
	}
	return fmt.Errorf("embedded: starting the server: %w", err)
}

func awaitReady(srv *server.Server, fatal <-chan error) error {
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		select {
		case err := <-fatal:
			return err
		default:
		}
		if srv.ReadyForConnections(pollWait) {
			return nil
		}
	}
	return fmt.Errorf("it takes no connections after %v", startTimeout)
}

// Connect connects in this process, without a socket, also to a server that
// listens. The options are those of [nats.Connect]; such a connection finds no
// other server than this one. Whoever connects closes.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	if !s.srv.Running() {
		return nil, fmt.Errorf("embedded: server %q: has been shut down", s.srv.Name())
	}
	nc, err := nats.Connect("", slices.Concat([]nats.Option{nats.InProcessServer(s.srv), nats.MaxReconnects(-1)}, opts)...)
	if err != nil {
		return nil, fmt.Errorf("embedded: connecting to server %q: %w", s.srv.Name(), err)
	}
	return nc, nil
}

// Reload calls [Config.Options] anew and has the running server take over what
// it says: accounts, logins, TLS, limits. Clients whose login is gone are cut
// off, all others stay. What only a restart can change is an error; the server
// goes on as it was.
func (s *Server) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	// An account that is new listens for what it imports from the reload after
	// the one that brought it.
	for range 2 {
		if !s.srv.Running() {
			return fmt.Errorf("embedded: server %q: has been shut down", s.srv.Name())
		}
		if err := s.srv.ReloadOptions(s.options()); err != nil {
			return fmt.Errorf("embedded: server %q: reloading it: %w", s.srv.Name(), err)
		}
	}
	s.log.log.Info("nats server reloaded")
	return nil
}

// URL is where clients of other processes connect, such as
// nats://127.0.0.1:4222. It is empty for a server without a port, and stays the
// same after Shutdown.
func (s *Server) URL() string { return s.url }

// Server is the NATS server itself, for what this package does not show:
// leaders, statistics, health. Shut it down by [Server.Shutdown] alone, or its
// directory stays locked.
func (s *Server) Server() *server.Server { return s.srv }

// Shutdown stops the server, waits until it has stopped, unlocks its StoreDir
// and removes a temporary one. Close your connections first. It may be called
// again and by several: all wait for the one stop and get its error. When ctx
// ends first, its error is returned and the stop goes on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { go s.shutdown() })
	select {
	case <-s.stopped:
		return s.stopErr
	case <-ctx.Done():
		return fmt.Errorf("embedded: waiting for server %q to stop: %w", s.srv.Name(), context.Cause(ctx))
	}
}

func (s *Server) shutdown() {
	defer close(s.stopped)
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	s.stopErr = s.store.close()
	s.log.log.Info("nats server stopped")
}
