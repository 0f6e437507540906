package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/natsasync/natsasync/embedded"
	"github.com/natsasync/natsasync/internal/torture"
	"github.com/natsasync/natsasync/internal/torture/check"
)

// shown is how many violations are printed with their histories.
const shownViolations = 3

type tortureCmd struct {
	For       time.Duration `default:"45s" help:"How long faults are done (${default})."`
	Seed      uint64        `help:"Seed of faults and jobs; a random one is printed."`
	Faults    []string      `placeholder:"KIND,…" help:"Kinds of faults: kill, pause, restart, server, cut, blackhole, lost-ack, slow, drift, producer, clock; all if none is named."`
	Cluster   int           `default:"1" placeholder:"N" help:"Servers, 1, 3 or 5, a process each (${default})."`
	Workers   int           `default:"5" help:"Worker processes (${default})."`
	Producers int           `default:"2" help:"Producer processes (${default})."`
	Lease     time.Duration `default:"2s" help:"Lease of the namespace (${default})."`
	Signed    bool          `help:"Sign all that is sent, and believe keys alone."`
	KeepDir   bool          `help:"Keep the folder with histories, logs and streams, and say where it is."`
}

// Validate is called by kong.
func (c tortureCmd) Validate() error {
	for _, fault := range c.Faults {
		if !slices.Contains(torture.Faults, fault) {
			return fmt.Errorf("--faults %q: there is no such kind (there are %s)", fault, strings.Join(torture.Faults, ", "))
		}
	}
	if c.Cluster < 1 || c.Cluster > 5 || c.Cluster%2 == 0 {
		return fmt.Errorf("--cluster %d: must be 1, 3 or 5", c.Cluster)
	}
	if c.For < time.Second || c.Lease < time.Second {
		return fmt.Errorf("--for %v, --lease %v: they must be at least 1s", c.For, c.Lease)
	}
	if c.Workers < 2 || c.Producers < 1 {
		return fmt.Errorf("--workers %d, --producers %d: there must be two workers and a producer at least", c.Workers, c.Producers)
	}
	return nil
}

// Run tries to break the guarantees and says what held.
func (c tortureCmd) Run(ctx context.Context, e *environment) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start it as server, worker and producer: %w", err)
	}
	dir, err := os.MkdirTemp("", "natsasync-torture-")
	if err != nil {
		return fmt.Errorf("make a folder for the run: %w", err)
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1 << 32)
	}
	if len(c.Faults) == 0 {
		c.Faults = torture.Faults
	}
	e.remark("seed %d, in %s", c.Seed, dir)
	r, err := torture.Run(ctx, torture.Options{
		Program: program, Child: "torture-child", Node: "torture-node", Nodes: c.Cluster, For: c.For, Seed: c.Seed, Faults: c.Faults, Workers: c.Workers,
		Producers: c.Producers, Lease: c.Lease, Signed: c.Signed, Dir: dir, Say: e.remark,
	})
	switch {
	case c.KeepDir, err != nil, !r.Held():
		e.remark("histories and logs are in %s", dir)
	default:
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the folder of the run: %w", err)
		}
	}
	if err != nil {
		return err
	}
	view := struct {
		Seed uint64 `json:"seed"`
		Held bool   `json:"held"`
		*check.Report
	}{c.Seed, r.Held(), r}
	if err := e.result(view, func() error { return e.verdict(r) }); err != nil {
		return err
	}
	switch {
	case len(r.Violations) > 0:
		return fmt.Errorf("%d violations (run it again with --seed %d)", len(r.Violations), c.Seed)
	case len(r.Dull) > 0:
		return fmt.Errorf("inconclusive: %s", strings.Join(r.Dull, "; "))
	}
	return nil
}

// verdict is a report to read.
func (t *terminal) verdict(r *check.Report) error {
	var rows [][]cell
	for _, line := range r.Table() {
		colour := ""
		if n, ok := r.Breaches[line[0]]; ok {
			colour = green
			if n > 0 {
				colour = red
			}
		}
		rows = append(rows, []cell{{line[0], ""}, {line[1], colour}})
	}
	if err := t.table([]string{"what", "found"}, rows); err != nil {
		return err
	}
	for i, v := range r.Violations {
		if i == shownViolations {
			return t.say("and %d more", len(r.Violations)-i)
		}
		if err := t.say("\n%s: job %s: %s\n  %s", t.paint(v.Invariant, red), v.Job, v.What, strings.Join(v.History, "\n  ")); err != nil {
			return err
		}
	}
	return nil
}

// tortureChildCmd is a process of a run.
type tortureChildCmd struct {
	Role string `arg:""`
}

// Run plays the role.
func (c tortureChildCmd) Run(ctx context.Context, _ *environment) error {
	var r torture.Role
	if err := json.Unmarshal([]byte(c.Role), &r); err != nil {
		return fmt.Errorf("the role: %w", err)
	}
	return r.Play(ctx)
}

// tortureNodeCmd is a server of a run, alone or as a node of a cluster.
type tortureNodeCmd struct {
	Node string `arg:""`
}

// Run serves until it is killed, or until the harness has ended.
func (c tortureNodeCmd) Run(ctx context.Context, e *environment) error {
	var n torture.Node
	if err := json.Unmarshal([]byte(c.Node), &n); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	srv, err := embedded.Start(embedded.Config{
		Name: n.Name, StoreDir: n.StoreDir, Port: n.Port, NoSync: true, Logger: e.logger(),
		Options: func(o *server.Options) { joinCluster(o, n) },
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return srv.Shutdown(stopping)
}

func joinCluster(o *server.Options, n torture.Node) {
	if len(n.Routes) == 0 {
		return
	}
	host, port, _ := net.SplitHostPort(n.Route)
	o.Cluster = server.ClusterOpts{Name: "torture", Host: host}
	o.Cluster.Port, _ = strconv.Atoi(port)
	for _, route := range n.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: route})
	}
}
