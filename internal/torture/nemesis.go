package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/internal/torture/check"
	"github.com/natsasync/natsasync/internal/torture/history"
)

// Faults are the kinds that can be asked for.
var Faults = []string{
	check.FaultKill, check.FaultPause, check.FaultRestart, check.FaultServer, check.FaultCut, check.FaultBlackhole,
	check.FaultLostAck, check.FaultSlow, check.FaultDrift, check.FaultProducer, check.FaultClock,
}

// often is about how long it takes until a kind comes again.
var often = map[string]time.Duration{
	check.FaultKill: 900 * time.Millisecond, check.FaultPause: 2000 * time.Millisecond, check.FaultRestart: 9 * time.Second,
	check.FaultServer: 11 * time.Second, check.FaultCut: 8 * time.Second, check.FaultBlackhole: 17 * time.Second,
	check.FaultLostAck: 7 * time.Second, check.FaultSlow: 19 * time.Second, check.FaultDrift: 23 * time.Second,
	check.FaultProducer: 11 * time.Second, check.FaultClock: 2 * time.Second,
}

// torment does the faults that were asked for, each kind at its own pace, until ctx ends, and heals what is broken.
func (h *harness) torment(ctx context.Context) error {
	for i, kind := range h.opts.Faults {
		rng := rand.New(rand.NewPCG(h.opts.Seed, uint64(i)+1))
		pace := min(often[kind], h.opts.For/3) // a short run has every kind too
		h.nemeses.Go(func() {
			for {
				pause := pace/2 + time.Duration(rng.Int64N(int64(pace)))
				if !stream.Sleep(ctx, pause) {
					return
				}
				if err := h.fault(ctx, kind, rng); err != nil && ctx.Err() == nil {
					h.fail(fmt.Errorf("%s: %w", kind, err))
					return
				}
			}
		})
	}
	h.nemeses.Wait()
	return h.failure()
}

func (h *harness) fault(ctx context.Context, kind string, rng *rand.Rand) error {
	switch kind {
	case check.FaultServer:
		return h.killServer(ctx, rng)
	case check.FaultDrift:
		return h.drift(ctx, rng)
	case check.FaultLostAck:
		p := h.producers[rng.IntN(len(h.producers))]
		p.taken.Lock()
		defer p.taken.Unlock()
		return h.deafen(ctx, p)
	case check.FaultClock:
		if rng.IntN(4) == 0 {
			h.setClock(h.producers[rng.IntN(len(h.producers))])
			return nil
		}
	case check.FaultProducer:
		p := h.producers[rng.IntN(len(h.producers))]
		p.taken.Lock()
		defer p.taken.Unlock()
		h.begin(kind, p.child.name)
		p.child.kill()
		return p.start(h)
	}
	w := h.victim(ctx, rng, kind == check.FaultKill || kind == check.FaultPause || kind == check.FaultBlackhole || kind == check.FaultClock)
	if w == nil {
		return nil
	}
	defer w.free()
	name, longer := w.child.name, h.opts.Lease+h.opts.Lease/2+time.Duration(rng.Int64N(int64(h.opts.Lease)))
	switch kind {
	case check.FaultKill:
		h.begin(kind, name)
		w.child.kill()
		return w.start(h)
	case check.FaultRestart:
		h.begin(kind, name)
		w.child.signal(syscall.SIGTERM)
		select {
		case <-w.child.gone:
		case <-time.After(20 * time.Second):
			return fmt.Errorf("%s does not stop within 20 s of SIGTERM", name)
		}
		return w.start(h)
	case check.FaultPause:
		h.during(ctx, kind, name, longer, func() { w.child.signal(freeze) }, func() { w.child.signal(thaw) })
	case check.FaultBlackhole:
		h.during(ctx, kind, name, longer, func() { w.wire.clog(true) }, func() { w.wire.clog(false) })
	case check.FaultSlow:
		h.during(ctx, kind, name, h.opts.Lease, func() { w.wire.delay(40 * time.Millisecond) }, func() { w.wire.delay(0) })
	case check.FaultClock:
		h.begin(kind, name)
		w.child.signal(setClock)
	case check.FaultCut:
		h.begin(kind, name)
		w.wire.cut()
		h.healed(kind, name)
	}
	return nil
}

// deafen makes a producer deaf until one of its jobs was sent without an answer, in a few tries: who does not hear how long
// the queue is soon sends none.
func (h *harness) deafen(ctx context.Context, p *source) error {
	h.begin(check.FaultLostAck, p.child.name)
	defer h.healed(check.FaultLostAck, p.child.name)
	before, err := unanswered(history.Path(h.dir, p.child.name))
	for range 5 {
		if err != nil || ctx.Err() != nil {
			break
		}
		p.wire.deafen(true)
		_ = stream.Sleep(ctx, answerWithin+answerWithin/2)
		p.wire.deafen(false)
		var now int
		if now, err = unanswered(history.Path(h.dir, p.child.name)); now > before {
			return nil
		}
		_ = stream.Sleep(ctx, answerWithin/4)
	}
	return err
}

// unanswered counts the jobs of a producer that were sent without an answer.
func unanswered(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return strings.Count(string(text), `"ev":`+strconv.Quote(string(history.Unknown))), err
}

// during keeps a fault up for a while; the end of the run ends it.
func (h *harness) during(ctx context.Context, kind, name string, long time.Duration, begin, end func()) {
	h.begin(kind, name)
	begin()
	_ = stream.Sleep(ctx, long)
	end()
	h.healed(kind, name)
}

// calmKills kills workers in a job while nothing else is wrong: then the product alone says how soon the job runs again.
func (h *harness) calmKills(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(h.opts.Seed, 0))
	pause := h.opts.Lease + check.RecoveryWithin
	if h.opts.Nodes > 1 {
		pause += 8 * time.Second // until a node that came back has caught up
	}
	for range max(1, h.opts.For/time.Minute) {
		if !stream.Sleep(ctx, pause) {
			return nil
		}
		for range 2 {
			w := h.victim(ctx, rng, true)
			if w == nil {
				continue
			}
			h.log.Add(history.Event{Kind: history.Fault, Fault: check.FaultKill, Target: w.child.name, Calm: true})
			w.child.kill()
			err := w.start(h)
			w.free()
			if err != nil {
				return err
			}
		}
		pause = h.opts.Lease + check.RecoveryWithin
	}
	return nil
}

// watchStalls writes down when this process had to wait for the machine, as the others will have had to.
func (h *harness) watchStalls(ctx context.Context) {
	const every, worthIt = 20 * time.Millisecond, 50 * time.Millisecond
	for {
		before := time.Now()
		if !stream.Sleep(ctx, every) {
			return
		}
		if late := time.Since(before) - every; late > worthIt {
			h.log.Add(history.Event{Kind: history.Stall, Off: late})
		}
	}
}

func (h *harness) begin(kind, name string) {
	h.log.Add(history.Event{Kind: history.Fault, Fault: kind, Target: name})
}

func (h *harness) healed(kind, name string) {
	h.log.Add(history.Event{Kind: history.Healed, Fault: kind, Target: name})
}

// victim takes a worker that no other fault has, if it must be one that is in a job: within a second.
func (h *harness) victim(ctx context.Context, rng *rand.Rand, busy bool) *worker {
	for until := time.Now().Add(time.Second); time.Now().Before(until) && ctx.Err() == nil; {
		for _, i := range rng.Perm(len(h.workers)) {
			w := h.workers[i]
			if !w.taken.TryLock() {
				continue
			}
			if n, err := w.running.look(); err == nil && (n > 0 || !busy) {
				return w
			}
			w.taken.Unlock()
		}
		_ = stream.Sleep(ctx, 5*time.Millisecond)
	}
	return nil
}

// setClock has a producer set its clock, once it is there to hear of it.
func (h *harness) setClock(p *source) {
	p.taken.Lock()
	defer p.taken.Unlock()
	if p.child.ready(h.dir) {
		h.begin(check.FaultClock, p.child.name)
		p.child.signal(setClock)
	}
}

// killServer kills one node and starts it again.
func (h *harness) killServer(ctx context.Context, rng *rand.Rand) error {
	n := h.nodes[rng.IntN(len(h.nodes))]
	h.begin(check.FaultServer, n.Name)
	n.child.kill()
	_ = stream.Sleep(ctx, 100*time.Millisecond+time.Duration(rng.Int64N(int64(800*time.Millisecond))))
	err := n.start(h)
	h.healed(check.FaultServer, n.Name)
	return err
}

// drift deletes a lane, or changes it: workers put it right or leave it alone until it is.
func (h *harness) drift(ctx context.Context, rng *rand.Rand) error {
	jobs := h.broker.Jobs()
	if rng.IntN(2) == 0 {
		lane := stream.Consumer(queueLimited, stream.QuotaDefault)
		h.begin(check.FaultDrift, lane)
		err := h.asked(ctx, func(ctx context.Context) error { return h.js.DeleteConsumer(ctx, jobs, lane) })
		h.healed(check.FaultDrift, lane)
		return err
	}
	lane := stream.Consumer(queueOpen, stream.LaneFree)
	var cfg jetstream.ConsumerConfig
	err := h.asked(ctx, func(ctx context.Context) error {
		found, err := h.js.Consumer(ctx, jobs, lane)
		if err == nil {
			cfg = found.CachedInfo().Config
		}
		return err
	})
	if err != nil || cfg.Durable == "" {
		return err
	}
	set := func(ctx context.Context, most int) error {
		wrong := cfg
		wrong.MaxAckPending = most
		return h.asked(ctx, func(ctx context.Context) error {
			_, err := h.js.UpdateConsumer(ctx, jobs, wrong)
			return err
		})
	}
	h.begin(check.FaultDrift, lane)
	err = set(ctx, 5)
	_ = stream.Sleep(ctx, h.opts.Lease)
	healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = errors.Join(err, set(healing, cfg.MaxAckPending))
	h.healed(check.FaultDrift, lane)
	return err
}

// asked repeats a request that a server has not answered because it was killed, until ctx ends. That the lane is not
// there, and that there was no time left, is no error.
func (h *harness) asked(ctx context.Context, do func(context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := do(once)
		cancel()
		if !passing(err) {
			return err
		}
		if !stream.Sleep(ctx, 100*time.Millisecond) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
			return nil
		}
	}
}

// passing says whether an error comes of another fault.
func passing(err error) bool {
	for _, p := range []error{
		jetstream.ErrConsumerNotFound, jetstream.ErrConsumerDoesNotExist, context.DeadlineExceeded, context.Canceled, nats.ErrNoResponders, nats.ErrTimeout,
		nats.ErrDisconnected,
	} {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}
