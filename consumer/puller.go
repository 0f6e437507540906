package consumer

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

// puller asks one consumer for messages. A lane that delivers asks for its share of the
// free slots at once, without waiting for messages to come, and holds them meanwhile. One
// that idles keeps one standing pull while the worker has a free slot, and holds none for
// it, or lanes with nothing to do would keep slots from those that have; what comes when
// the last slot is gone goes back unstarted. A worker with fewer slots than lanes has no
// standing pulls: its lanes take turns with the slots.
type puller struct {
	w        *Worker
	stream   string
	consumer string
	queue    string
	lane     string
	created  time.Time // of the consumer
	slots    *slots
	size     atomic.Int64 // of the lane, -1 for no limit
	out      atomic.Int64 // deliveries that are being handled
	scarce   atomic.Bool
	silent   atomic.Bool // a pull got no answer, and the server has denied this login something
	refused  atomic.Bool // the login may not take from the lane
	quit     chan struct{}

	// What follows belongs to run.
	prefix  string // of the API subject
	msgs    chan *nats.Msg
	asks    [3]ask // the standing pull, and two bursts
	hunger  *hunger
	drained bool
	most    int           // that the consumer takes in one request
	idle    time.Duration // between two asks of a scarce lane that has nothing
	rested  bool
	notFor  time.Time // before it nothing is asked
	looks   chan struct{}
	batch   []*nats.Msg
}

func newLanePuller(w *Worker, l stream.Lane) *puller {
	p := newPuller(w, w.broker.Jobs(), stream.Consumer(l.Queue, l.Name), w.slots)
	p.queue, p.lane, p.created = l.Queue, l.Name, l.Created
	p.size.Store(int64(l.Size))
	return p
}

// newDuePuller moves jobs whose time has come; that takes no slot from handlers.
func newDuePuller(w *Worker) *puller {
	p := newPuller(w, w.broker.Later(), stream.DueConsumer, newSlots(64))
	p.size.Store(-1)
	return p
}

func newPuller(w *Worker, name, consumer string, s *slots) *puller {
	return &puller{
		w: w, stream: name, consumer: consumer, slots: s,
		quit:   make(chan struct{}),
		msgs:   make(chan *nats.Msg, 2*s.size+1024),
		hunger: newHunger(), drained: true, looks: make(chan struct{}, 2), most: pullMost,
	}
}

func (p *puller) stop() { close(p.quit) }

// run pulls until ctx ends or the puller is stopped. What came and was not started is
// given back.
func (p *puller) run(ctx context.Context) {
	p.prefix = p.subject()
	for ctx.Err() == nil && !p.subscribe() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	status := p.w.broker.Conn().StatusChanged(nats.CONNECTED)
	defer p.w.broker.Conn().RemoveStatusListener(status)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		p.look()
		p.refill()
		if !p.notFor.IsZero() {
			pause.Reset(time.Until(p.notFor))
		}
		var free chan<- struct{}
		if len(p.batch) > 0 {
			free = p.looks
		}
		select {
		case <-ctx.Done():
			p.close()
			return
		case <-p.quit:
			p.close()
			return
		case m := <-p.msgs:
			p.receive(m)
			p.gather()
		case free <- struct{}{}:
			p.lookNow()
		case <-p.hunger.wake:
		case <-pause.C:
			p.notFor = time.Time{}
		case now := <-tick.C:
			if p.expire(now) {
				p.unanswered(now)
			}
		case <-status:
			p.expire(time.Now().Add(time.Hour))
			if p.refused.Load() {
				p.notFor = time.Time{} // the login may have got the right
			}
		}
	}
}

// subject is that of a pull.
func (p *puller) subject() string {
	return p.w.broker.APIPrefix() + "CONSUMER.MSG.NEXT." + p.stream + "." + p.consumer
}

func (p *puller) subscribe() bool {
	nc := p.w.broker.Conn()
	for i := range p.asks {
		if p.asks[i].sub != nil {
			continue
		}
		inbox := nc.NewInbox()
		sub, err := nc.ChanSubscribe(inbox, p.msgs)
		if err != nil {
			p.w.log.Warn("subscribe for a lane", "lane", p.consumer, "err", err)
			return false
		}
		p.asks[i] = ask{sub: sub, inbox: inbox}
	}
	return true
}

// look has what came looked up, unless two looks are on their way: then more may come
// for the next one.
func (p *puller) look() {
	if len(p.batch) == 0 {
		return
	}
	select {
	case p.looks <- struct{}{}:
		p.lookNow()
	default:
	}
}

func (p *puller) lookNow() {
	batch := p.batch
	p.batch = nil
	p.w.lookUp(p, batch)
}

// gather takes what has come meanwhile, so that one look serves many.
func (p *puller) gather() {
	for len(p.batch) < lookMost {
		select {
		case m := <-p.msgs:
			p.receive(m)
		default:
			return
		}
	}
}

func (p *puller) receive(m *nats.Msg) {
	a := p.askOf(m.Sub)
	if a == nil { // of a pull that was withdrawn
		if m.Reply != "" {
			p.w.nak(m, 0)
		}
		return
	}
	if m.Reply == "" {
		p.status(a, m)
		return
	}
	if p.refused.Load() {
		p.answered()
	}
	a.until = time.Now().Add(pullSilence)
	held := a.held && a.left > 0
	a.left = max(a.left-1, 0)
	p.drained, p.idle = false, 0
	if !held && p.slots.take(1, p.hunger) == 0 {
		p.withdraw(a)
		p.w.nak(m, 0)
		return
	}
	p.out.Add(1)
	p.batch = append(p.batch, m)
}

// status takes what the server says about a pull instead of a message.
func (p *puller) status(a *ask, m *nats.Msg) {
	if p.refused.Load() {
		p.answered()
	}
	code := m.Header.Get("Status")
	if code == "100" {
		a.until = time.Now().Add(pullSilence)
		return
	}
	p.end(a)
	switch why := m.Header.Get("Description"); code {
	case "404", "408":
		p.drained = true
	case "409":
		if _, limit, ok := strings.Cut(why, "Exceeded MaxRequestBatch of "); ok {
			p.most, _ = strconv.Atoi(limit)
			p.most = max(p.most, 1)
			return
		}
		p.trouble(why)
	default: // 503: nobody there, 400 and others: not what we meant
		p.trouble(code + " " + why)
	}
}

// trouble holds off for a moment and asks for a look at the lanes.
func (p *puller) trouble(why string) {
	p.w.log.Debug("pull", "lane", p.consumer, "err", why)
	p.notFor = time.Now().Add(250 * time.Millisecond)
	p.w.nudge()
}

// close takes back the pulls and gives back what has not been started, also what the
// server sent before it heard of it: that would keep its lane until its lease is over.
func (p *puller) close() {
	for i := range p.asks {
		a := &p.asks[i]
		if a.sub != nil {
			_ = a.sub.Drain()
		}
		p.end(a)
	}
	if nc := p.w.broker.Conn(); nc.IsConnected() {
		_ = nc.FlushTimeout(2 * time.Second)
	}
	p.slots.leave(p.hunger)
	for _, m := range p.batch {
		p.handBack(m)
	}
	for {
		select {
		case m := <-p.msgs:
			if m.Reply != "" {
				p.w.nak(m, 0)
			}
		default:
			return
		}
	}
}

func (p *puller) handBack(m *nats.Msg) {
	p.w.nak(m, 0)
	p.finished()
	p.slots.give(1)
}

// finished takes a delivery off the lane's count.
func (p *puller) finished() { p.out.Add(-1) }
