package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/planted"
)

const (
	maxWaiting    = 512
	maxDuePending = 1000
)

// Lane is one durable consumer of the stream Jobs.
type Lane struct {
	Queue string
	// Name is free, system or the name of a quota.
	Name string
	// Size is how many jobs may be out at once; -1 means any number.
	Size int
	// Quota is the size that SetQuota or Declare wrote down, 0 if nobody did. It differs from Size while a change is
	// under way, or when somebody changed the consumer by other means.
	Quota   int
	Created time.Time
	Info    *jetstream.ConsumerInfo
}

// Lanes returns the lanes of a queue, or of all queues for "", sorted by queue and name. A queue that nobody has
// declared has none.
func (b *Broker) Lanes(ctx context.Context, queue string) ([]Lane, error) {
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return nil, b.missing(b.Jobs(), err)
	}
	return b.listLanes(ctx, info, queue)
}

// Restore returns the lanes of declared queues as Lanes does, and makes those again whose consumers are gone: default,
// free, system and every quota whose size is written down. Queues that are not declared are declared. In refused are
// those for which that could not be done. With BindOnly nothing is made.
func (b *Broker) Restore(ctx context.Context, queues []string) (lanes []Lane, refused map[string]error, err error) {
	info, lanes, err := b.look(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	refused = make(map[string]error)
	made := false
	for _, queue := range queues {
		some, err := b.restore(ctx, info, lanes, queue)
		if made = made || some; err != nil {
			refused[queue] = err
		}
	}
	if made {
		if _, lanes, err = b.look(ctx, ""); err != nil {
			return nil, nil, err
		}
	}
	return lanesOf(lanes, queues), refused, nil
}

// restore makes what is missing of one queue, true if it did.
func (b *Broker) restore(ctx context.Context, info *jetstream.StreamInfo, lanes []Lane, queue string) (made bool, err error) {
	if b.bindOnly {
		return false, nil
	}
	if b.checkQueue(info, queue) != nil {
		return true, b.Declare(ctx, queue)
	}
	for _, name := range slices.Concat([]string{QuotaDefault, LaneFree, LaneSystem}, quotasIn(info.Config.Metadata, queue)) {
		if find(lanes, queue, name) != nil {
			continue
		}
		if _, err := b.ensureLane(ctx, info, lanes, queue, name, 0); err != nil {
			return made, err
		}
		made = true
	}
	return made, nil
}

func lanesOf(lanes []Lane, queues []string) []Lane {
	wanted := make(map[string]bool, len(queues))
	for _, queue := range queues {
		wanted[queue] = true
	}
	return slices.DeleteFunc(lanes, func(l Lane) bool { return !wanted[l.Queue] })
}

// Lane returns one lane: a quota, or free, or system (callbacks and later mean system). Errors are ErrNoSuchQueue and
// ErrNoSuchQuota.
func (b *Broker) Lane(ctx context.Context, queue, name string) (*Lane, error) {
	info, lanes, err := b.look(ctx, queue)
	if err != nil {
		return nil, err
	}
	if err := b.checkQueue(info, queue); err != nil {
		return nil, err
	}
	lane := find(lanes, queue, name)
	if lane == nil {
		return nil, noSuchQuota(lanes, queue, name)
	}
	return lane, nil
}

// EnsureLane makes a lane that is not there, true if it did. Of one that is there it changes nothing, above all not
// the size: what differs is ErrDiffers. The size of a new lane is what is written down for the quota, else size, else
// 1 for default; a quota without any size is ErrNoSuchQuota. In a paused queue a new lane is paused as well. With
// BindOnly a lane that is not there is ErrNoSuchQuota.
func (b *Broker) EnsureLane(ctx context.Context, queue, name string, size int) (created bool, err error) {
	if err := checkName("quota", name); err != nil {
		return false, err
	}
	info, lanes, err := b.look(ctx, queue)
	if err != nil {
		return false, err
	}
	return b.ensureLane(ctx, info, lanes, queue, name, size)
}

// EnsureDue makes the consumer of jobs whose time has come, or compares it.
func (b *Broker) EnsureDue(ctx context.Context) error {
	want := jetstream.ConsumerConfig{
		Durable:       DueConsumer,
		Description:   "natsasync: jobs whose time has come; workers move them to their lanes.",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.lease,
		MaxDeliver:    -1,
		MaxAckPending: maxDuePending,
		MaxWaiting:    maxWaiting,
		FilterSubject: b.DueFilter(),
	}
	_, err := b.ensureConsumer(ctx, b.Later(), want)
	return err
}

func (b *Broker) look(ctx context.Context, queue string) (*jetstream.StreamInfo, []Lane, error) {
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return nil, nil, b.missing(b.Jobs(), err)
	}
	lanes, err := b.listLanes(ctx, info, queue)
	return info, lanes, err
}

func (b *Broker) listLanes(ctx context.Context, info *jetstream.StreamInfo, queue string) ([]Lane, error) {
	var lanes []Lane
	for offset := 0; ; {
		var page struct {
			fault
			Total     int                       `json:"total"`
			Consumers []*jetstream.ConsumerInfo `json:"consumers"`
		}
		err := b.api(ctx, "CONSUMER.LIST."+b.Jobs(), map[string]int{"offset": offset}, &page)
		if err != nil {
			return nil, fmt.Errorf("stream: list lanes: %w", err)
		}
		for _, consumer := range page.Consumers {
			lane, ok := laneFrom(consumer, info.Config.Metadata)
			if ok && (queue == "" || lane.Queue == queue) {
				lanes = append(lanes, lane)
			}
		}
		offset += len(page.Consumers)
		if offset >= page.Total || len(page.Consumers) == 0 {
			break
		}
	}
	slices.SortFunc(lanes, func(x, y Lane) int {
		return cmp.Or(cmp.Compare(x.Queue, y.Queue), cmp.Compare(x.Name, y.Name))
	})
	return lanes, nil
}

// Waiting counts the jobs of a lane, not of the system's, that it has not handed out. The consumer's own number lags
// behind the ack of a publish: the server tells consumers of new messages later.
func (b *Broker) Waiting(ctx context.Context, lane Lane) (uint64, error) {
	request := pageRequest{Seq: lane.Info.Delivered.Stream + 1, Next: b.LaneFilter(lane.Queue, lane.Name), Batch: 1}
	got, err := b.page(ctx, b.Jobs(), request)
	return uint64(len(got.messages)) + got.pending, err
}

// Delivered returns up to which sequence a lane has handed out its messages; 0 if it has no consumer.
func (b *Broker) Delivered(ctx context.Context, queue, lane string) (uint64, error) {
	info, err := b.consumerInfo(ctx, b.Jobs(), Consumer(queue, lane))
	if isCode(err, jetstream.JSErrCodeConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream: look at lane %s of queue %s: %w", quote(lane), quote(queue), err)
	}
	return info.Delivered.Stream, nil
}

func laneFrom(info *jetstream.ConsumerInfo, metadata map[string]string) (Lane, bool) {
	queue, name, ok := strings.Cut(info.Name, "_")
	if !ok || !validName(queue) || !validName(name) {
		return Lane{}, false
	}
	size := info.Config.MaxAckPending
	if size <= 0 {
		size = -1
	}
	return Lane{Queue: queue, Name: name, Size: size, Quota: quotaIn(metadata, queue, name), Created: info.Created, Info: info}, true
}

func find(lanes []Lane, queue, name string) *Lane {
	for i := range lanes {
		if lanes[i].Queue == queue && lanes[i].Name == laneOf(name) {
			return &lanes[i]
		}
	}
	return nil
}

func noSuchQuota(lanes []Lane, queue, name string) error {
	var quotas []string
	for _, lane := range lanes {
		if lane.Queue == queue && !reserved(lane.Name) {
			quotas = append(quotas, lane.Name)
		}
	}
	return fmt.Errorf("stream: quota %s of queue %s: %w (%s)", quote(name), quote(queue), ErrNoSuchQuota, existing(quotas))
}

func (b *Broker) ensureLane(ctx context.Context, info *jetstream.StreamInfo, lanes []Lane, queue, name string, size int) (bool, error) {
	name = laneOf(name)
	if err := b.checkQueue(info, queue); err != nil {
		return false, err
	}
	if lane := find(lanes, queue, name); lane != nil {
		return false, differs(lane.Info.Name, b.Differs(*lane))
	}
	if size = firstSize(quotaIn(info.Config.Metadata, queue, name), name, size); size == 0 || b.bindOnly {
		return false, noSuchQuota(lanes, queue, name)
	}
	want := b.laneConfig(queue, name, size)
	if name != LaneSystem {
		want.PauseUntil = pausedUntil(lanes, queue)
	}
	return b.ensureConsumer(ctx, b.Jobs(), want)
}

func firstSize(noted int, name string, given int) int {
	switch {
	case name == LaneFree || name == LaneSystem:
		return -1
	case noted != 0:
		return noted
	case given == 0 && name == QuotaDefault:
		return 1
	default:
		return given
	}
}

// pausedUntil is when the first lane of a paused queue goes on, nil if one of them runs: then lanes were paused one by one.
func pausedUntil(lanes []Lane, queue string) *time.Time {
	var first *time.Time
	for _, lane := range lanes {
		if lane.Queue != queue || lane.Name == LaneSystem {
			continue
		}
		until := lane.Info.Config.PauseUntil
		if !lane.Info.Paused || until == nil {
			return nil
		}
		if first == nil || until.Before(*first) {
			first = until
		}
	}
	return first
}

func (b *Broker) laneConfig(queue, name string, size int) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:       Consumer(queue, name),
		Description:   fmt.Sprintf("natsasync: lane %s of queue %s. Deleting it while jobs run may run them twice.", name, queue),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.lease,
		MaxDeliver:    -1,
		MaxAckPending: size,
		MaxWaiting:    maxWaiting,
		Metadata:      map[string]string{"queue": queue, "lane": name},
	}
	if planted.Bug == planted.MaxDeliver {
		cfg.MaxDeliver = 3
	}
	switch name {
	case LaneSystem:
		cfg.FilterSubjects = []string{b.LaneFilter(queue, LaneCallbacks), b.LaneFilter(queue, LaneLater)}
	case LaneFree:
		cfg.FilterSubject = b.LaneFilter(queue, name)
	default:
		cfg.FilterSubject = b.LaneFilter(queue, name)
		cfg.Metadata["quota"] = name
	}
	return cfg
}

// ensureConsumer makes a consumer that is not there and compares one that is. An update would reset an operator's size.
func (b *Broker) ensureConsumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) (bool, error) {
	has, err := b.consumerInfo(ctx, stream, want.Durable)
	if err == nil {
		return false, differs(want.Durable, b.compareConsumer(has.Config, want))
	}
	if !isCode(err, jetstream.JSErrCodeConsumerNotFound) {
		return false, fmt.Errorf("stream: look at consumer %q: %w", want.Durable, err)
	}
	if b.bindOnly {
		return false, fmt.Errorf(`stream: consumer %q: is not there: %w (run "natsasync init", or leave BindOnly out)`, want.Durable, err)
	}
	err = b.repeat(ctx, b.prefix+"CONSUMER.CREATE."+stream+"."+want.Durable, func(ctx context.Context) error {
		_, err := b.js.CreateConsumer(ctx, stream, want)
		return err
	})
	if isCode(err, jetstream.JSErrCodeConsumerExists) {
		return false, differs(want.Durable, []string{"it was made at the same time with another config"})
	}
	if err != nil {
		return false, fmt.Errorf("stream: make consumer %q: %w", want.Durable, err)
	}
	return true, nil
}

type consumerAnswer struct {
	fault
	jetstream.ConsumerInfo
}

func (a *consumerAnswer) given() time.Time { return a.TimeStamp }

func (b *Broker) consumerInfo(ctx context.Context, stream, consumer string) (*jetstream.ConsumerInfo, error) {
	var got consumerAnswer
	err := b.api(ctx, "CONSUMER.INFO."+stream+"."+consumer, nil, &got)
	return &got.ConsumerInfo, err
}

func differs(consumer string, diffs []string) error {
	if len(diffs) == 0 {
		return nil
	}
	return errDiffers(fmt.Sprintf("consumer %q", consumer), diffs, `change it with "nats consumer edit", or delete it while nothing runs: it is made again`)
}
