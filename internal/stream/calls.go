package stream

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// calls sends requests and hands each answer to a function, without a goroutine or a
// channel a request: the hot path keeps hundreds in flight. Every request is over
// after its timeout, or soon after the connection was lost and is back. It subscribes
// at the first request and needs no closing: what it holds ends with the connection.
type calls struct {
	nc *nats.Conn

	mu      sync.Mutex
	prefix  string
	last    uint64
	waiting map[uint64]*call
	timer   *time.Timer
	looking bool

	reconnects uint64 // as the connection counted them last
	lost       uint64 // requests up to this one were sent before the last of them
}

// callsLook is how often waiting requests are looked through.
const callsLook = 250 * time.Millisecond

type call struct {
	deadline time.Time
	busy     bool // done runs for an answer
	// done takes an answer and says whether more are to come, or takes an error.
	done func(*nats.Msg, error) (more bool)
}

func newCalls(nc *nats.Conn) *calls {
	return &calls{nc: nc, waiting: make(map[uint64]*call), reconnects: nc.Stats().Reconnects}
}

// send publishes msg as a request. done runs on the connection's goroutine for this
// subscription, one at a time: it must not wait for another answer.
func (c *calls) send(msg *nats.Msg, timeout time.Duration, done func(*nats.Msg, error) (more bool)) {
	p := &call{deadline: time.Now().Add(timeout), done: done}
	c.mu.Lock()
	if err := c.subscribe(); err != nil {
		c.mu.Unlock()
		done(nil, err)
		return
	}
	c.last++
	id := c.last
	c.waiting[id] = p
	c.lookSoon()
	msg.Reply = c.prefix + strconv.FormatUint(id, 36)
	c.mu.Unlock()
	if err := c.nc.PublishMsg(msg); err != nil && c.take(id, false) != nil {
		done(nil, err)
	}
}

func (c *calls) subscribe() error {
	if c.prefix != "" {
		return nil
	}
	prefix := c.nc.NewInbox() + "."
	sub, err := c.nc.Subscribe(prefix+"*", c.receive)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	c.prefix = prefix
	return nil
}

func (c *calls) receive(msg *nats.Msg) {
	id, err := strconv.ParseUint(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:], 36, 64)
	if err != nil {
		return
	}
	p := c.take(id, true)
	if p == nil {
		return
	}
	if isStatus(msg) && msg.Header.Get("Status") == "503" {
		msg, err = nil, nats.ErrNoResponders
	}
	if p.done(msg, err) && err == nil {
		c.release(p)
		return
	}
	c.take(id, false)
}

// release lets a request that has more answers to come expire again.
func (c *calls) release(p *call) {
	c.mu.Lock()
	p.busy = false
	c.mu.Unlock()
}

// take returns the request that waits under id, and leaves it there if it may have
// more answers.
func (c *calls) take(id uint64, keep bool) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.waiting[id]
	switch {
	case p == nil:
	case keep:
		p.busy = true
	default:
		delete(c.waiting, id)
	}
	return p
}

// lookSoon sets the timer if something waits and it is not set. c.mu is held.
func (c *calls) lookSoon() {
	if c.looking || len(c.waiting) == 0 {
		return
	}
	c.looking = true
	if c.timer == nil {
		c.timer = time.AfterFunc(callsLook, c.look)
		return
	}
	c.timer.Reset(callsLook)
}

// look ends requests whose time is over, and those whose answers went down with a
// connection: had they been sent over the new one, the answers would be here by the
// second look.
func (c *calls) look() {
	now := time.Now()
	var over []*call
	c.mu.Lock()
	lost := c.lost
	if n := c.nc.Stats().Reconnects; n != c.reconnects {
		c.reconnects, c.lost = n, c.last
	}
	for id, p := range c.waiting {
		if !p.busy && (id <= lost || p.deadline.Before(now)) {
			delete(c.waiting, id)
			over = append(over, p)
		}
	}
	c.looking = false
	c.lookSoon()
	c.mu.Unlock()
	for _, p := range over {
		p.done(nil, nats.ErrTimeout)
	}
}
