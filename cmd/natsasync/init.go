package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

type initCmd struct {
	Queues   []string      `arg:"" optional:"" name:"queue" help:"Queues to make beside \"default\"."`
	Quota    []string      `sep:"none" placeholder:"QUEUE.NAME=N" help:"A quota to make, of a queue that is there or named: at most N jobs hold it at once. May be given again."`
	Handler  []string      `sep:"none" placeholder:"NAME" help:"A durable name of handlers to make: outcomes wait there from then on. May be given again."`
	Lease    time.Duration `help:"How long a worker may be silent before its job goes to another; 30s when the streams are made."`
	Replicas int           `help:"Replicas of the streams; 3 in a cluster, else 1."`
	// AcceptLoss is for a server that came back with less than it had.
	AcceptLoss bool `help:"Go on although a server has lost messages that it had accepted: workers that stopped for it start again."`
}

// Validate is called by kong.
func (c initCmd) Validate() error {
	for _, queue := range c.Queues {
		if err := task.CheckToken("queue", queue); err != nil {
			return err
		}
	}
	for _, name := range c.Handler {
		if err := task.CheckToken("handler", name); err != nil {
			return err
		}
	}
	if c.Lease < 0 || c.Replicas < 0 {
		return errors.New("--lease and --replicas: they must not be negative")
	}
	_, err := c.quotas()
	return err
}

type quotaKey struct{ queue, name string }

func (c initCmd) quotas() (map[quotaKey]int, error) {
	quotas := make(map[quotaKey]int)
	for _, text := range c.Quota {
		where, number, _ := strings.Cut(text, "=")
		queue, name, _ := strings.Cut(where, ".")
		size, err := strconv.Atoi(number)
		if err != nil || size < 1 || !strings.Contains(where, ".") {
			return nil, fmt.Errorf("--quota %s: it is QUEUE.NAME=N, like docs.smtp=4", task.Quote(text))
		}
		if err := task.CheckToken("queue", queue); err != nil {
			return nil, fmt.Errorf("--quota %s: %w", task.Quote(text), err)
		}
		if err := task.CheckToken("quota", name); err != nil {
			return nil, fmt.Errorf("--quota %s: %w", task.Quote(text), err)
		}
		if slices.Contains([]string{stream.LaneFree, stream.LaneCallbacks, stream.LaneLater, stream.LaneSystem}, name) {
			return nil, fmt.Errorf("--quota %s: the name %q is reserved (take another)", task.Quote(text), name)
		}
		key := quotaKey{queue, name}
		if old, twice := quotas[key]; twice && old != size {
			return nil, fmt.Errorf("--quota %s: it was %d before (give it once)", task.Quote(text), old)
		}
		quotas[key] = size
	}
	return quotas, nil
}

// made is one thing that init makes, or found.
type made struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Queue string `json:"queue,omitempty"`
	Size  int    `json:"size,omitempty"`
	Made  bool   `json:"made"`
}

// Run makes what is missing, and nothing if something is there and differs.
func (c initCmd) Run(ctx context.Context, e *environment) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	quotas, err := c.quotas()
	if err != nil {
		return err
	}
	p := &provision{session: s, replicas: c.Replicas, quotas: quotas, queues: c.Queues}
	if !slices.Contains(p.queues, task.DefaultQueue) {
		p.queues = append(p.queues, task.DefaultQueue)
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	b, err := p.make(ctx, c.Lease)
	if err != nil {
		return err
	}
	if err := p.handlers(ctx, b, c.Handler); err != nil {
		return err
	}
	accepted := ""
	if c.AcceptLoss {
		if accepted, err = acceptLoss(ctx, b); err != nil {
			return err
		}
	}
	view := struct {
		Namespace    string `json:"namespace"`
		Installation string `json:"installation"`
		Lease        string `json:"lease"`
		Things       []made `json:"things"`
		Loss         string `json:"loss,omitempty"`
	}{b.Namespace(), b.Installation(), b.Lease().String(), p.things, accepted}
	return s.result(view, func() error {
		for _, thing := range p.things {
			if err := s.say("%s", thing); err != nil {
				return err
			}
		}
		if accepted != "" {
			if err := s.say("%s", accepted); err != nil {
				return err
			}
		}
		return s.say("namespace %s has installation %s and a lease of %v", b.Namespace(), printable(b.Installation()), b.Lease())
	})
}

// acceptLoss writes down that the streams are as far as they are, and says what that means.
func acceptLoss(ctx context.Context, b *stream.Broker) (string, error) {
	lost := b.Regressed(ctx)
	if err := b.Mark(ctx); err != nil {
		return "", err
	}
	switch {
	case lost == nil:
		return "no stream is behind where it has been: there was no loss to accept", nil
	case errors.Is(lost, stream.ErrRegressed):
		return "the loss is accepted: workers go on from what is there (start those that have stopped)", nil
	}
	return "workers go on from what is there; whether something is lost is not known: " + lost.Error(), nil
}

// handlers makes durable names.
func (p *provision) handlers(ctx context.Context, b *stream.Broker, names []string) error {
	ctx, cancel := p.brief(ctx)
	defer cancel()
	for _, name := range names {
		_, err := p.js.Consumer(ctx, b.Outcomes(), name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("looking at handler %q: %w", name, err)
		}
		p.things = append(p.things, made{Kind: "handler", Name: name, Made: err != nil})
		if err := hooks.Declare(ctx, p.js, hooks.Config{Durable: name, Namespace: p.connection.Namespace, Logger: p.logger()}); err != nil {
			return err
		}
	}
	return nil
}

// String is the thing as a line of init.
func (m made) String() string {
	verb := "there"
	if m.Made {
		verb = "made "
	}
	if m.Queue == "" {
		return fmt.Sprintf("%s  %s %s", verb, m.Kind, m.Name)
	}
	return fmt.Sprintf("%s  %s %s of queue %s, size %d", verb, m.Kind, m.Name, m.Queue, m.Size)
}

// provision is what init is to make and what it found.
type provision struct {
	*session
	replicas int
	queues   []string
	quotas   map[quotaKey]int
	things   []made
}

// look says what is there, and refuses what differs from what was asked for.
func (p *provision) look(ctx context.Context) error {
	ctx, cancel := p.brief(ctx)
	defer cancel()
	names, err := stream.NewNames(p.connection.Namespace)
	if err != nil {
		return usageError{err}
	}
	var declared []string
	for _, name := range []string{names.Jobs(), names.Later(), names.Outcomes(), names.Rejected()} {
		found, err := p.js.Stream(ctx, name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("looking at stream %q: %w", name, err)
		}
		p.things = append(p.things, made{Kind: "stream", Name: name, Made: err != nil})
		if err != nil {
			continue
		}
		has := found.CachedInfo().Config
		if p.replicas != 0 && has.Replicas != p.replicas {
			return fmt.Errorf(`stream %q: has %d replicas, --replicas is %d (change it with "nats stream edit --replicas", or leave the flag out)`, name, has.Replicas, p.replicas)
		}
		if name == names.Jobs() {
			declared = has.Subjects
		}
	}
	if err := p.addQueues(func(queue string) bool { return slices.Contains(declared, names.QueueFilter(queue)) }); err != nil {
		return err
	}
	for _, queue := range p.queues {
		p.things = append(p.things, made{Kind: "queue", Name: queue, Made: !slices.Contains(declared, names.QueueFilter(queue))})
	}
	return p.lookQuotas(ctx, names)
}

// addQueues adds the queues of quotas that are there. One that is not must be named: it may be a slip.
func (p *provision) addQueues(declared func(queue string) bool) error {
	for _, key := range p.quotaKeys() {
		if slices.Contains(p.queues, key.queue) {
			continue
		}
		if !declared(key.queue) {
			return misuse("--quota %s.%s=%d: there is no queue %[1]q (to make it: natsasync init %[1]s --quota %[1]s.%[2]s=%[3]d)", key.queue, key.name, p.quotas[key])
		}
		p.queues = append(p.queues, key.queue)
	}
	slices.Sort(p.queues)
	return nil
}

func (p *provision) quotaKeys() []quotaKey {
	return slices.SortedFunc(maps.Keys(p.quotas), func(x, y quotaKey) int { return strings.Compare(x.queue+"."+x.name, y.queue+"."+y.name) })
}

func (p *provision) lookQuotas(ctx context.Context, names stream.Names) error {
	for _, key := range p.quotaKeys() {
		size := p.quotas[key]
		thing := made{Kind: "quota", Name: key.name, Queue: key.queue, Size: size}
		found, err := p.js.Consumer(ctx, names.Jobs(), stream.Consumer(key.queue, key.name))
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			thing.Made = true
		case err != nil:
			return fmt.Errorf("looking at quota %q of queue %q: %w", key.name, key.queue, err)
		case found.CachedInfo().Config.MaxAckPending != size:
			return fmt.Errorf("quota %q of queue %q: has size %d, --quota says %d (change it with \"natsasync queue quota %s %s %[4]d\", or leave the flag out)",
				key.name, key.queue, found.CachedInfo().Config.MaxAckPending, size, key.queue, key.name)
		}
		p.things = append(p.things, thing)
	}
	return nil
}

// steps is how many times the timeout all of init may take.
const steps = 6

func (p *provision) make(ctx context.Context, lease time.Duration) (*stream.Broker, error) {
	ctx, cancel := context.WithTimeout(ctx, steps*p.connection.Timeout)
	defer cancel()
	b, err := stream.Open(ctx, p.js, stream.Config{
		Namespace: p.connection.Namespace, Queues: p.queues, Lease: lease, Replicas: p.replicas, Logger: p.logger(),
	})
	if err != nil {
		return nil, err
	}
	for _, thing := range p.things {
		if thing.Kind == "quota" && thing.Made {
			if err := b.SetQuota(ctx, thing.Queue, thing.Name, thing.Size); err != nil {
				return nil, err
			}
		}
	}
	return b, p.compare(ctx, b)
}

// compare refuses consumers that are there and are not as their lanes need them.
func (p *provision) compare(ctx context.Context, b *stream.Broker) error {
	differs := []error{b.EnsureDue(ctx)}
	lanes, err := b.Lanes(ctx, "")
	if err != nil {
		return err
	}
	for _, lane := range lanes {
		for _, what := range b.Differs(lane) {
			differs = append(differs, fmt.Errorf(`lane %q of queue %q: %w: %s (change it with "nats consumer edit")`, lane.Name, lane.Queue, stream.ErrDiffers, what))
		}
	}
	return errors.Join(differs...)
}
