package integration_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/natsasync/natsasync/producer"
)

// network is a bridge with a namespace for each node, which can be cut off.
type network struct {
	t      *testing.T
	name   string // at most 8 bytes: the kernel's names are short
	subnet string // its first three numbers
}

func newNetwork(t *testing.T, nodes int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need ip, of iproute2")
	}
	w := &network{t: t, name: fmt.Sprintf("f%d", os.Getpid()%1_000_000), subnet: fmt.Sprintf("10.213.%d", os.Getpid()%250)}
	if out, err := exec.Command("ip", "link", "add", w.name, "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("network namespaces need a kernel that bridges: %s", out)
	}
	t.Cleanup(func() { w.ip("link", "del", w.name) })
	w.ip("addr", "add", w.subnet+".1/24", "dev", w.name)
	w.ip("link", "set", w.name, "up")
	for i := range nodes {
		ns := w.namespace(i)
		w.ip("netns", "add", ns)
		t.Cleanup(func() { w.ip("netns", "del", ns) })
		w.ip("link", "add", w.port(i), "type", "veth", "peer", "name", "inner", "netns", ns)
		w.ip("link", "set", w.port(i), "master", w.name, "up")
		w.ip("-n", ns, "addr", "add", w.host(i)+"/24", "dev", "inner")
		w.ip("-n", ns, "link", "set", "inner", "up")
		w.ip("-n", ns, "link", "set", "lo", "up")
	}
	return w
}

func (w *network) namespace(i int) string { return fmt.Sprintf("%s-%d", w.name, i) }
func (w *network) port(i int) string      { return fmt.Sprintf("%sv%d", w.name, i) }
func (w *network) host(i int) string      { return fmt.Sprintf("%s.%d", w.subnet, 11+i) }

func (w *network) ip(args ...string) {
	w.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// isolate cuts a node off from all others; deaf, only what it says to the other nodes is lost.
func (w *network) isolate(i int, deaf bool) (heal func()) {
	w.t.Helper()
	if !deaf {
		w.ip("link", "set", w.port(i), "down")
		return func() { w.ip("link", "set", w.port(i), "up") }
	}
	for j := range 3 {
		if j != i {
			w.ip("-n", w.namespace(i), "route", "add", "blackhole", w.host(j)+"/32")
		}
	}
	return func() {
		for j := range 3 {
			if j != i {
				w.ip("-n", w.namespace(i), "route", "del", "blackhole", w.host(j)+"/32")
			}
		}
	}
}

func TestF13ALeaderThatIsCutOffAcceptsNothingAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	if !soaking() {
		t.Skip("make soak tries this: elections take their time")
	}
	w := newNetwork(t, 3)
	f := newFleet(t, func(i int, r *role) {
		r.Network, r.Host, r.Route = w.namespace(i), w.host(i), net.JoinHostPort(w.host(i), "6222")
	})
	c := cellOn(t, f.url(), shortLease)
	var ids, names []string
	for round := range rounds(0, 10) {
		f.settle(c)
		leader := f.leader(c)
		inner := func(r *role) { r.Network = w.namespace(leader) }
		minority := fmt.Sprint("minority-", round)
		m := c.employ(minority, f.nodes[leader].url(), inner)
		name, gate := fmt.Sprint("held ", round), fmt.Sprint("gate ", round)
		held := queue(c, follow(script{Name: name, Gate: gate, Stubborn: round%2 == 0}).OnSuccess(hear))
		next := queue(c, do(fmt.Sprint("next ", round)))
		ids, names = append(ids, held.ID(), next.ID()), append(names, name, fmt.Sprint("next ", round))
		c.history.await(t, "start", name, 1)

		heal := w.isolate(leader, round%3 == 2)
		producing := role{Part: "producer", Name: fmt.Sprint("producer ", round), URL: f.nodes[leader].url(), History: c.history.path, Jobs: 1, One: true}
		inner(&producing)
		p := spawn(t, producing)
		others := c.on(f.but(leader)) // a client that can reach a node that is alone stays with it
		majority := others.hire(fmt.Sprint("majority-", round))
		majority.begin()
		c.open(gate + "." + fmt.Sprint("majority-", round))
		succeeds(others, producer.Find[string](others.client, held.ID()))
		succeeds(others, producer.Find[string](others.client, next.ID()))
		p.gone(t)
		if n := len(c.history.find(t, "accepted", producing.Name+" job 0")); n > 0 {
			t.Errorf("round %d: a leader that was cut off accepted a job", round)
		}

		heal()
		c.open(gate + "." + minority)
		awaitBy(c, "end", name, minority)
		m.awaitSaid(t, "reassigned")
		c.drained()
		c.recorded("default", held.ID())
		if by := c.recorded("default", held.ID()).Record.Worker; by == minority {
			t.Errorf("round %d: the outcome is by the worker that was cut off", round)
		}
		c.starts(fmt.Sprint("next ", round), 1, 2) // the node that was alone may hand it out again when it is back
		c.history.await(t, "end", "hear "+name, 1)
		majority.stop()
		m.kill()
		m.gone(t)
	}
	c.inOrder("default", ids, names)
}
