package integration_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wire is a proxy between one client and the server that reads what the client
// publishes, so that a test can act between any two messages.
type wire struct {
	t      *testing.T
	ln     net.Listener
	target string

	mu    sync.Mutex
	trap  *trap
	slow  bool          // connections that are opened
	open  chan struct{} // closed while bytes flow
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

// trap is what happens at a message. It goes off once; nothing passes in either
// direction after it.
type trap struct {
	at      func(subject, body string) bool
	forward bool   // the server still gets the message, the client hears no more
	then    func() // called before anything else, like killing the client
	fired   chan struct{}
}

// newWire listens for clients of the server at url.
func newWire(t *testing.T, url string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, ln: ln, target: strings.TrimPrefix(url, "nats://"), open: make(chan struct{}), conns: make(map[net.Conn]bool)}
	close(w.open)
	w.all.Go(w.accept)
	t.Cleanup(func() {
		w.heal()
		_ = ln.Close()
		w.mu.Lock()
		for conn := range w.conns {
			_ = conn.Close()
		}
		w.mu.Unlock()
		w.all.Wait()
	})
	return w
}

func (w *wire) url() string { return "nats://" + w.ln.Addr().String() }

// set arms a trap.
func (w *wire) set(at func(subject, body string) bool, forward bool, then func()) *trap {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trap = &trap{at: at, forward: forward, then: then, fired: make(chan struct{})}
	return w.trap
}

// cut stops the flow in both directions, as a network does that has lost a cable; heal
// lets go on what was held up.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = make(chan struct{})
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

func (w *wire) flows() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// caught returns the trap if the message sets it off.
func (w *wire) caught(subject, body string) *trap {
	w.mu.Lock()
	defer w.mu.Unlock()
	tr := w.trap
	if tr == nil || !tr.at(subject, body) {
		return nil
	}
	w.trap = nil
	return tr
}

func (w *wire) accept() {
	for {
		client, err := w.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()
		deaf := make(chan struct{})
		w.all.Go(func() { w.up(client, server, deaf) })
		w.all.Go(func() { w.down(client, server, deaf) })
	}
}

// up carries what the client says, message by message.
func (w *wire) up(client, server net.Conn, deaf chan struct{}) {
	// The server reads what it was sent to its end; down drains what it says.
	defer func() { _ = server.(*net.TCPConn).CloseWrite() }()
	to := w.line(server)
	defer func() { _ = to.Close() }()
	in, out := bufio.NewReaderSize(client, 64<<10), bufio.NewWriterSize(to, 64<<10)
	for {
		head, subject, body, err := readOperation(in)
		if err != nil {
			return
		}
		<-w.flows()
		if tr := w.caught(subject, string(body)); tr != nil {
			close(deaf)
			if tr.forward {
				_, _ = out.Write(head)
				_, _ = out.Write(body)
			}
			_ = out.Flush()
			if tr.then != nil {
				tr.then()
			}
			close(tr.fired)
			<-w.flows() // a trap may have cut the wire: the client waits until it is healed
			return
		}
		_, _ = out.Write(head)
		_, _ = out.Write(body)
		if in.Buffered() == 0 {
			if out.Flush() != nil {
				return
			}
		}
	}
}

// down carries what the server says until the client is deaf, and closes both then.
func (w *wire) down(client, server net.Conn, deaf chan struct{}) {
	defer func() {
		_ = server.Close()
		_ = client.Close()
		w.mu.Lock()
		delete(w.conns, client)
		delete(w.conns, server)
		w.mu.Unlock()
	}()
	to := w.line(client)
	defer func() { _ = to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			<-w.flows()
			select {
			case <-deaf:
			default:
				_, _ = to.Write(buf[:n])
			}
		}
		if err != nil {
			return
		}
	}
}

// readOperation reads one line of the protocol and the payload that belongs to it.
// subject is empty for lines that publish nothing; body ends with the line's end.
func readOperation(in *bufio.Reader) (head []byte, subject string, body []byte, err error) {
	head, err = in.ReadBytes('\n')
	if err != nil {
		return nil, "", nil, err
	}
	verb, rest, _ := bytes.Cut(bytes.TrimSpace(head), []byte(" "))
	if v := strings.ToUpper(string(verb)); v != "PUB" && v != "HPUB" {
		return head, "", nil, nil
	}
	fields := strings.Fields(string(rest))
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return nil, "", nil, err
	}
	body = make([]byte, size+2)
	_, err = io.ReadFull(in, body)
	return head, fields[0], body, err
}

// to matches messages on subjects that begin so; n is which of them, counted from 1.
func to(prefix string, n int) func(subject, body string) bool {
	seen := 0
	return func(subject, _ string) bool {
		if strings.HasPrefix(subject, prefix) {
			seen++
		}
		return seen == n && strings.HasPrefix(subject, prefix)
	}
}

// ackOf matches the ack of a job in a lane of the default queue.
func ackOf(lane string) func(subject, body string) bool {
	return func(subject, body string) bool {
		return strings.HasPrefix(subject, "$JS.ACK.NATSASYNC_JOBS.default_"+lane+".") && strings.HasPrefix(body, "+ACK")
	}
}
