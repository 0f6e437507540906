package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

// Node is a server as it is told on its command line.
type Node struct {
	Name     string
	StoreDir string
	Port     int
	// Routes are the addresses at which the nodes of a cluster talk to each other, its own too, none for a single server.
	Routes []string
	Route  string // its own
}

type node struct {
	Node
	child *child
}

func (n *node) start(h *harness) error {
	body, err := json.Marshal(n.Node)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.child, err = h.spawn(n.Name, h.opts.Node, string(body))
	return err
}

// serve starts the servers and returns their addresses.
func (h *harness) serve() (addresses []string, err error) {
	ports, err := freePorts(2 * h.opts.Nodes)
	if err != nil {
		return nil, err
	}
	clients, routes := ports[:h.opts.Nodes], ports[h.opts.Nodes:]
	for i, port := range clients {
		n := &node{Node: Node{Name: "server-" + strconv.Itoa(i+1), Port: port}}
		n.StoreDir = filepath.Join(h.dir, n.Name)
		if h.opts.Nodes > 1 {
			for _, r := range routes {
				n.Routes = append(n.Routes, address(r))
			}
			n.Route = address(routes[i])
		}
		h.nodes = append(h.nodes, n)
		addresses = append(addresses, address(port))
		if err := n.start(h); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// await waits until JetStream is there: a cluster needs a leader that sees all nodes.
func (h *harness) await(ctx context.Context) error {
	const probe = "TORTURE_PROBE"
	for {
		once, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := h.js.CreateStream(once, jetstream.StreamConfig{Name: probe, Subjects: []string{"torture.probe"}, Replicas: min(h.opts.Nodes, 3)})
		if err == nil {
			err = h.js.DeleteStream(once, probe)
		}
		cancel()
		if err == nil {
			return nil
		}
		if !stream.Sleep(ctx, 200*time.Millisecond) {
			return fmt.Errorf("wait for the servers: %w", err)
		}
	}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports that nobody listens on now.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a port for a server: %w", err)
		}
		defer func() { _ = ln.Close() }()
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
