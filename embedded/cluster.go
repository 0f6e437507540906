package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	clusterTimeout  = 30 * time.Second
	clusterAttempts = 3
	leaderPoll      = 10 * time.Millisecond
)

// Cluster is several servers of this process that are one NATS cluster. Its
// methods are safe for concurrent use.
type Cluster struct {
	servers []*Server
}

// StartCluster runs n nodes, 1, 3 or 5, and returns when they have a leader
// that sees all of them. The nodes talk to each other on 127.0.0.1, on free
// ports and with a password of their own. A StoreDir keeps its number of nodes:
// another n is an error. After an error nothing is left running or locked.
//
// One node is a plain server that listens, with one replica of everything.
func StartCluster(n int, cfg Config) (*Cluster, error) {
	if n < 1 || n > 5 || n%2 == 0 {
		return nil, fmt.Errorf("embedded: cluster of %q: must be 1, 3 or 5 (an even number survives no more than the odd one below it)", strconv.Itoa(n))
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Port > 0 && cfg.Port+n-1 > 65535 {
		return nil, fmt.Errorf("embedded: port %q: leaves no room for %d nodes (each takes the next port)", strconv.Itoa(cfg.Port), n)
	}
	if cfg.StoreDir != "" {
		if err := makeNodeDirs(cfg.StoreDir, n); err != nil {
			return nil, err
		}
	}
	c, err := startNodes(n, cfg)
	// The ports of the routes are chosen before the servers take them, so
	// somebody else can be quicker. A port that the caller chose stays taken.
	for attempt := 1; attempt < clusterAttempts && cfg.Port <= 0 && errors.Is(err, syscall.EADDRINUSE); attempt++ {
		c, err = startNodes(n, cfg)
	}
	return c, err
}

// makeNodeDirs makes the last one first: a crash in between leaves the right size.
func makeNodeDirs(dir string, n int) error {
	if err := checkCluster(dir, n); err != nil {
		return err
	}
	for i := n; i >= 1; i-- {
		if err := os.MkdirAll(nodeDir(dir, i), 0o750); err != nil {
			return fmt.Errorf("embedded: store directory %q: making it: %w", dir, err)
		}
	}
	return nil
}

func startNodes(n int, cfg Config) (*Cluster, error) {
	routes, err := freeRoutes(n)
	if err != nil {
		return nil, err
	}
	c := &Cluster{}
	for i := 1; i <= n; i++ {
		s, err := startNode(i, cfg, routes)
		if err != nil {
			return nil, errors.Join(err, c.Shutdown(context.Background()))
		}
		c.servers = append(c.servers, s)
	}
	if err := c.awaitLeader(); err != nil {
		return nil, errors.Join(err, c.Shutdown(context.Background()))
	}
	for _, s := range c.servers {
		s.log.forming.Store(false)
	}
	return c, nil
}

func startNode(i int, cfg Config, routes []*url.URL) (*Server, error) {
	st, err := openStore(nodeDir(cfg.StoreDir, i))
	if err != nil {
		return nil, err
	}
	options := func() *server.Options {
		opts := cfg.options()
		opts.ServerName = cfg.name() + "-" + strconv.Itoa(i)
		opts.DontListen = false
		opts.Port = -1
		if cfg.Port > 0 {
			opts.Port = cfg.Port + i - 1
		}
		if len(routes) > 1 {
			joinCluster(opts, cfg.name(), routes[i-1], routes)
		}
		return opts
	}
	return run(options, st, cfg.Logger)
}

func joinCluster(opts *server.Options, name string, own *url.URL, routes []*url.URL) {
	port, _ := strconv.Atoi(own.Port())
	password, _ := own.User.Password()
	opts.Cluster = server.ClusterOpts{
		Name:     name,
		Host:     own.Hostname(),
		Port:     port,
		Username: own.User.Username(),
		Password: password,
	}
	opts.Routes = slices.Clone(routes)
}

// freeRoutes chooses a free port for each node's routes. The password keeps out
// a node of another cluster that gets one of our ports, and everybody else.
func freeRoutes(n int) ([]*url.URL, error) {
	user := url.UserPassword("node", rand.Text())
	var routes []*url.URL
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(defaultHost, "0"))
		if err != nil {
			return nil, fmt.Errorf("embedded: finding a free port for a node: %w", err)
		}
		defer l.Close()
		routes = append(routes, &url.URL{Scheme: "nats", User: user, Host: l.Addr().String()})
	}
	return routes, nil
}

// awaitLeader waits for a leader that sees every node: a stream that is made
// earlier is refused or put on fewer nodes.
func (c *Cluster) awaitLeader() error {
	if len(c.servers) == 1 {
		return nil
	}
	leads := func(s *Server) bool {
		return s.srv.JetStreamIsLeader() && s.srv.JetStreamIsCurrent() && len(s.srv.JetStreamClusterPeers()) == len(c.servers)
	}
	deadline := time.Now().Add(clusterTimeout)
	for time.Now().Before(deadline) {
		if slices.ContainsFunc(c.servers, leads) {
			return nil
		}
		time.Sleep(leaderPoll)
	}
	return fmt.Errorf("embedded: cluster of %d: has no leader that sees all nodes after %v (a StoreDir must keep the Name it was made with)", len(c.servers), clusterTimeout)
}

// Connect connects to one of the nodes over its socket. When that node goes
// away the connection moves to another. The options are those of
// [nats.Connect]. Whoever connects closes.
func (c *Cluster) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(c.URL(), slices.Concat([]nats.Option{nats.MaxReconnects(-1)}, opts)...)
	if err != nil {
		return nil, fmt.Errorf("embedded: connecting to the cluster: %w", err)
	}
	return nc, nil
}

// URL is where clients connect: the URLs of all nodes, those shut down too,
// separated by commas as [nats.Connect] takes them.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.servers))
	for i, s := range c.servers {
		urls[i] = s.url
	}
	return strings.Join(urls, ",")
}

// Servers are the nodes, Name-1 first, those shut down too.
func (c *Cluster) Servers() []*Server { return slices.Clone(c.servers) }

// Reload does [Server.Reload] on each node that runs, one after the other.
func (c *Cluster) Reload() error {
	var errs []error
	for _, s := range c.servers {
		if s.srv.Running() {
			errs = append(errs, s.Reload())
		}
	}
	return errors.Join(errs...)
}

// Shutdown stops all nodes at once and waits for them, as [Server.Shutdown]
// does for one. Nodes that are shut down already are no error.
func (c *Cluster) Shutdown(ctx context.Context) error {
	errs := make([]error, len(c.servers))
	var wg sync.WaitGroup
	for i, s := range c.servers {
		wg.Go(func() { errs[i] = s.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
