package consumer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	pullExpires   = 30 * time.Second
	pullHeartbeat = 2 * time.Second
	pullSilence   = 5 * time.Second // more than two heartbeats: the pull is lost
	pullMost      = 500
	burstPatience = 2 * time.Second
	briefPull     = 20 * time.Millisecond
	lookMost      = 256
	serialMost    = 50
)

// ask is a pull request; left is how many messages it may still bring.
type ask struct {
	sub   *nats.Subscription
	inbox string
	left  int
	held  bool // slots are held for what it may bring
	until time.Time
}

func (p *puller) askOf(sub *nats.Subscription) *ask {
	for i := range p.asks {
		if p.asks[i].sub == sub {
			return &p.asks[i]
		}
	}
	return nil
}

func (p *puller) end(a *ask) {
	if a.held {
		p.slots.give(a.left)
	}
	a.left = 0
}

// expire ends asks that nothing was heard of, true if there was one.
func (p *puller) expire(now time.Time) bool {
	one := false
	for i := range p.asks {
		if a := &p.asks[i]; a.left > 0 && now.After(a.until) {
			p.end(a)
			one = true
		}
	}
	return one
}

func (p *puller) refill() {
	if time.Now().Before(p.notFor) || !p.w.broker.Conn().IsConnected() {
		return
	}
	if p.scarce.Load() {
		p.refillScarce()
		return
	}
	standing, bursts := &p.asks[0], p.asks[1:]
	asked := standing.left + bursts[0].left + bursts[1].left
	if !p.drained {
		for i := range bursts {
			if bursts[i].left == 0 {
				asked += p.burst(&bursts[i], asked)
				break
			}
		}
	}
	if asked == 0 && p.slots.any(p.hunger) {
		p.stand(standing)
	}
}

// stand sends the standing pull. In a lane of size 1 one message is out at a time
// whatever is asked for, so there one pull serves many.
func (p *puller) stand(a *ask) {
	if p.size.Load() == 1 && p.most >= serialMost {
		p.ask(a, serialMost, serialPull, pullSilence)
		return
	}
	p.ask(a, 1, standingPull, pullSilence)
}

// burst asks for what the free slots can run, but not for a few while more are on
// their way already.
func (p *puller) burst(a *ask, asked int) int {
	n := min(p.slots.share(), p.most)
	if size := int(p.size.Load()); size > 0 {
		n = min(n, size-int(p.out.Load())-asked)
	}
	if n < 1 || asked > 0 && n < p.slots.size/8 {
		return 0
	}
	if n = p.slots.take(n, nil); n == 0 {
		return 0
	}
	expires := time.Duration(0)
	if p.size.Load() > 0 {
		expires = 200 * time.Millisecond
	}
	p.askHeld(a, n, expires)
	return n
}

// refillScarce takes a slot in turn, asks for one message and gives the slot back when
// there is none. A lane with a limit may hold its answer back, so its pull ends by itself.
func (p *puller) refillScarce() {
	a := &p.asks[0]
	if a.left > 0 || p.asks[1].left > 0 || p.asks[2].left > 0 {
		return
	}
	if p.drained && !p.rested {
		p.rested, p.notFor = true, time.Now().Add(p.idle)
		return
	}
	if p.slots.take(1, p.hunger) == 0 {
		return
	}
	p.rested, p.idle = false, min(max(2*p.idle, 5*time.Millisecond), 50*time.Millisecond)
	expires := time.Duration(0)
	if p.size.Load() > 0 {
		expires = briefPull
	}
	p.drained = false
	p.askHeld(a, 1, expires)
}

// askHeld asks for as many messages as slots are held for.
func (p *puller) askHeld(a *ask, n int, expires time.Duration) {
	p.ask(a, n, pullRequest(n, true, expires), burstPatience+expires)
	a.held = a.left > 0
}

func (p *puller) ask(a *ask, n int, body []byte, patience time.Duration) {
	if a.sub == nil && !p.subscribe() {
		p.trouble("no subscription")
		return
	}
	a.left, a.held, a.until = n, false, time.Now().Add(patience)
	if err := p.w.broker.Conn().PublishRequest(p.prefix, a.inbox, body); err != nil {
		p.end(a)
		p.trouble(err.Error())
	}
}

// The pulls that an idle lane keeps at the server.
var (
	standingPull = pullRequest(1, false, pullExpires)
	serialPull   = pullRequest(serialMost, false, pullExpires)
)

func pullRequest(n int, noWait bool, expires time.Duration) []byte {
	request := struct {
		Batch     int           `json:"batch"`
		NoWait    bool          `json:"no_wait,omitempty"`
		Expires   time.Duration `json:"expires,omitempty"`
		Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	}{n, noWait, expires, 0}
	if !noWait {
		request.Heartbeat = pullHeartbeat
	}
	body, err := json.Marshal(request)
	if err != nil {
		panic(fmt.Sprintf("consumer: encode a pull request: %v", err))
	}
	return body
}

// withdraw takes a pull back that would bring more than there are slots for: the server
// drops it when nobody listens for its answers any more.
func (p *puller) withdraw(a *ask) {
	if a.left == 0 {
		return
	}
	_ = a.sub.Drain() // what is on its way still comes, and goes back
	*a = ask{}
	p.subscribe()
}
