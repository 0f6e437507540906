package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fleet is a cluster of three nodes, each a process.
type fleet struct {
	t     *testing.T
	nodes []*host
}

// newFleet starts three nodes. Change may say where each has its files, and more.
func newFleet(t *testing.T, change func(i int, r *role)) *fleet {
	t.Helper()
	oneCluster.Lock()
	t.Cleanup(oneCluster.Unlock)
	f := &fleet{t: t}
	var routes []string
	for i := range 3 {
		dir := t.TempDir()
		r := role{
			Part: "server", Name: fmt.Sprint("node-", i), Store: filepath.Join(dir, "store"), Port: freePort(t), History: filepath.Join(dir, "servers"),
			Route: net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))),
		}
		change(i, &r)
		routes = append(routes, r.Route)
		f.nodes = append(f.nodes, &host{t: t, role: r, history: &history{path: r.History}})
	}
	for _, n := range f.nodes {
		n.role.Routes = routes
		n.again()
	}
	return f
}

func (f *fleet) url() string {
	var all []string
	for _, n := range f.nodes {
		all = append(all, n.url())
	}
	return strings.Join(all, ",")
}

// but returns the addresses of all nodes but one.
func (f *fleet) but(i int) string {
	return strings.Join(slices.DeleteFunc(strings.Split(f.url(), ","), func(url string) bool { return url == f.nodes[i].url() }), ",")
}

// leader returns the node that leads the stream of jobs.
func (f *fleet) leader(c *cell) int {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Second)
		s, err := c.js.Stream(ctx, c.broker.Jobs())
		cancel()
		if err != nil || s.CachedInfo().Cluster == nil {
			continue
		}
		for i, n := range f.nodes {
			if n.role.Name == s.CachedInfo().Cluster.Leader {
				return i
			}
		}
	}
	f.t.Fatal("no node leads the stream of jobs")
	return 0
}

// settle waits until every node answers for all lanes.
func (f *fleet) settle(c *cell) {
	f.t.Helper()
	for _, n := range f.nodes {
		nc, err := dial(f.t.Context(), n.url())
		if err != nil {
			f.t.Fatal(err)
		}
		awaitTrue(f.t, n.role.Name+" answers", func() bool {
			answer, err := nc.Request("$JS.API.CONSUMER.LIST."+c.broker.Jobs(), nil, 2*time.Second)
			return err == nil && bytes.Contains(answer.Data, []byte(`"total":3`)) && !bytes.Contains(answer.Data, []byte(`"missing"`))
		})
		nc.Close()
	}
}

// gap is the longest time between two jobs that were accepted.
type gap struct{ last, longest atomic.Int64 }

func (g *gap) accepted() {
	now := time.Now().UnixNano()
	if before := g.last.Swap(now); before != 0 && now-before > g.longest.Load() {
		g.longest.Store(now - before)
	}
}

func TestF11AClusterLosesAnyNodeAndNothingElse(t *testing.T) {
	t.Parallel()
	f := newFleet(t, func(int, *role) {})
	c := cellOn(t, f.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	const between = 60 // jobs
	kills := rounds(3, 60)
	var g gap
	ids, names, free := c.load(kills*between/2, func(accepted int) {
		g.accepted()
		if accepted%between != between/2 {
			return
		}
		n := f.nodes[accepted/between%len(f.nodes)]
		if accepted/between%2 == 0 {
			n = f.nodes[f.leader(c)]
		}
		n.process.kill()
		n.process.gone(t)
		n.again()
	})
	c.survived(ids, names, free)
	within(t, "the longest gap between two jobs", time.Duration(g.longest.Load()), 20*time.Second)
	t.Logf("%d jobs over %d kills, the longest gap was %v", len(ids)+len(free), kills, time.Duration(g.longest.Load()).Round(time.Millisecond))
}

func TestF12AClusterThatLosesAllNodesLosesNothingElse(t *testing.T) {
	t.Parallel()
	f := newFleet(t, func(int, *role) {})
	c := cellOn(t, f.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	const between = 60 // jobs
	ids, names, free := c.load(rounds(1, 10)*between/2, func(accepted int) {
		if accepted%between != between/2 {
			return
		}
		for _, n := range f.nodes {
			n.process.kill()
		}
		for _, n := range f.nodes {
			n.process.gone(t)
			n.again()
		}
	})
	c.survived(ids, names, free)
}
