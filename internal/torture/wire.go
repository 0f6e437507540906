package torture

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// wire is a TCP proxy between one process and the server, which can be cut, clogged, made deaf and made slow.
type wire struct {
	ln      net.Listener
	targets []string // of which any will do
	all     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while bytes flow
	deaf  bool          // what the server says is dropped
	slow  time.Duration // that each piece may be held up for at most
	conns map[net.Conn]bool
}

func newWire(targets []string) (*wire, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{ln: ln, targets: targets, open: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(w.open)
	w.all.Go(w.accept)
	return w, nil
}

func (w *wire) url() string { return "nats://" + w.ln.Addr().String() }

func (w *wire) close() {
	_ = w.ln.Close()
	w.clog(false)
	w.cut()
	w.all.Wait()
}

// cut closes all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.conns {
		_ = conn.Close()
	}
}

// clog stops the flow in both directions, or lets it go on: nothing is lost, all is late.
func (w *wire) clog(stop bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
		if stop {
			w.open = make(chan struct{})
		}
	default:
		if !stop {
			close(w.open)
		}
	}
}

// deafen drops what the server says, or no more: then the connection, which lacks bytes, is cut.
func (w *wire) deafen(deaf bool) {
	w.mu.Lock()
	w.deaf = deaf
	w.mu.Unlock()
	if !deaf {
		w.cut()
	}
}

// delay holds up each piece for a random time up to most.
func (w *wire) delay(most time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = most
}

func (w *wire) state() (open <-chan struct{}, deaf bool, slow time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open, w.deaf, w.slow
}

func (w *wire) accept() {
	for {
		client, err := w.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := w.dial()
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()
		w.all.Go(func() { w.carry(server, client, false) })
		w.all.Go(func() { w.carry(client, server, true) })
	}
}

// dial takes one of the servers that are there.
func (w *wire) dial() (conn net.Conn, err error) {
	for _, i := range rand.Perm(len(w.targets)) {
		if conn, err = net.Dial("tcp", w.targets[i]); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// carry moves bytes until one end closes, and closes both.
func (w *wire) carry(to, from net.Conn, down bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, to)
		delete(w.conns, from)
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			open, deaf, slow := w.state()
			<-open
			if slow > 0 {
				time.Sleep(rand.N(slow))
			}
			if deaf && down {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				<-time.After(10 * time.Millisecond) // what is on its way in the other direction
			}
			return
		}
	}
}
