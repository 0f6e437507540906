package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const maxQuota = 100_000

// SetQuota makes a quota, or changes its size at once while jobs run: what is out stays out. Size 0 removes an empty
// quota. Everything else of the lane stays as it is, a pause too. The size is written into the stream's metadata, from
// which a lost lane is made again. It acts with BindOnly as well: the login's rights decide.
func (b *Broker) SetQuota(ctx context.Context, queue, name string, size int) error {
	if err := checkQuota(name, size); err != nil {
		return err
	}
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return b.missing(b.Jobs(), err)
	}
	if err := b.checkQueue(info, queue); err != nil {
		return err
	}
	if size == 0 {
		return b.removeQuota(ctx, queue, name)
	}
	if err := b.noteQuota(ctx, queue, name, size); err != nil {
		return err
	}
	if err := b.applyQuota(ctx, queue, name); err != nil {
		return err
	}
	return b.announceLanes(queue)
}

// Pause stops every lane of a queue but system until the time given, which lies ahead. Acks go on; what runs ends.
func (b *Broker) Pause(ctx context.Context, queue string, until time.Time) error {
	if !until.After(b.SureNow(ctx)) {
		return fmt.Errorf("stream: until %q: is past (give a time to come, or resume the queue)", until.Format(time.RFC3339))
	}
	return b.pause(ctx, queue, until)
}

// Resume ends a pause at once.
func (b *Broker) Resume(ctx context.Context, queue string) error {
	return b.pause(ctx, queue, time.Time{})
}

func (b *Broker) pause(ctx context.Context, queue string, until time.Time) error {
	info, lanes, err := b.look(ctx, queue)
	if err != nil {
		return err
	}
	if err := b.checkQueue(info, queue); err != nil {
		return err
	}
	var failed []error
	for _, lane := range lanes {
		if lane.Name == LaneSystem {
			continue
		}
		err := b.repeat(ctx, b.prefix+"CONSUMER.PAUSE."+b.Jobs()+"."+lane.Info.Name, func(ctx context.Context) error {
			_, err := b.js.PauseConsumer(ctx, b.Jobs(), lane.Info.Name, until)
			return err
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("stream: pause lane %q of queue %q: %w", lane.Name, queue, err))
		}
	}
	return errors.Join(append(failed, b.announceLanes(queue))...)
}

func checkQuota(name string, size int) error {
	if err := checkName("quota", name); err != nil {
		return err
	}
	if reserved(name) {
		return fmt.Errorf("stream: quota %q: the name is reserved (take another)", name)
	}
	if size < 0 || size > maxQuota {
		return fmt.Errorf(`stream: size "%d" of quota %q: must be 1 to %d (or 0 to remove the quota)`, size, name, maxQuota)
	}
	if size == 0 && name == QuotaDefault {
		return fmt.Errorf("stream: quota %q: every queue keeps it (give it a size from 1)", name)
	}
	return nil
}

func reserved(name string) bool {
	return slices.Contains([]string{LaneFree, LaneCallbacks, LaneLater, LaneSystem}, name)
}

func quotaKey(queue, name string) string { return metaQuota + queue + "." + name }

// quotaIn returns the size that the stream's metadata has for a quota, 0 if none.
func quotaIn(metadata map[string]string, queue, name string) int {
	size, err := strconv.Atoi(metadata[quotaKey(queue, name)])
	if err != nil || size < 1 || size > maxQuota {
		return 0
	}
	return size
}

// quotasIn returns the quotas of a queue whose size is written down, sorted.
func quotasIn(metadata map[string]string, queue string) []string {
	var names []string
	for key := range metadata {
		if name, ok := strings.CutPrefix(key, quotaKey(queue, "")); ok && name != QuotaDefault && quotaIn(metadata, queue, name) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// noteQuota writes a size into the stream's metadata; 0 removes it.
func (b *Broker) noteQuota(ctx context.Context, queue, name string, size int) error {
	key := quotaKey(queue, name)
	_, err := b.amend(ctx, func(cfg *jetstream.StreamConfig) bool {
		if size == 0 {
			_, there := cfg.Metadata[key]
			delete(cfg.Metadata, key)
			return there
		}
		if cfg.Metadata[key] == strconv.Itoa(size) {
			return false
		}
		setMetadata(cfg, key, strconv.Itoa(size))
		return true
	})
	return err
}

// applyQuota brings the lane to what the metadata say, whoever changes it meanwhile.
func (b *Broker) applyQuota(ctx context.Context, queue, name string) error {
	for {
		info, lanes, err := b.look(ctx, queue)
		if err != nil {
			return err
		}
		size := quotaIn(info.Config.Metadata, queue, name)
		if size == 0 {
			return noSuchQuota(lanes, queue, name)
		}
		lane := find(lanes, queue, name)
		if lane != nil && lane.Size == size {
			return nil
		}
		if err := b.resize(ctx, lane, pausedUntil(lanes, queue), queue, name, size); err != nil {
			return fmt.Errorf("stream: set quota %q of queue %q: %w", name, queue, err)
		}
	}
}

func (b *Broker) resize(ctx context.Context, lane *Lane, pause *time.Time, queue, name string, size int) error {
	if lane == nil {
		want := b.laneConfig(queue, name, size)
		want.PauseUntil = pause
		return b.repeat(ctx, b.prefix+"CONSUMER.CREATE."+b.Jobs()+"."+want.Durable, func(ctx context.Context) error {
			_, err := b.js.CreateConsumer(ctx, b.Jobs(), want)
			if isCode(err, jetstream.JSErrCodeConsumerExists) {
				return nil
			}
			return err
		})
	}
	cfg := lane.Info.Config
	cfg.MaxAckPending = size
	return b.repeat(ctx, b.prefix+"CONSUMER.CREATE."+b.Jobs()+"."+lane.Info.Name, func(ctx context.Context) error {
		_, err := b.js.UpdateConsumer(ctx, b.Jobs(), cfg)
		if isCode(err, jetstream.JSErrCodeConsumerDoesNotExist) {
			return nil
		}
		return err
	})
}

// removeQuota removes a quota that holds no jobs. Jobs that come while it does so get their lane back.
func (b *Broker) removeQuota(ctx context.Context, queue, name string) error {
	info, lanes, err := b.look(ctx, queue)
	if err != nil {
		return err
	}
	lane := find(lanes, queue, name)
	size := quotaIn(info.Config.Metadata, queue, name)
	if lane == nil && size == 0 {
		return noSuchQuota(lanes, queue, name)
	}
	if size == 0 {
		size = lane.Size
	}
	if err := b.checkEmpty(ctx, queue, name); err != nil {
		return err
	}
	if err := b.noteQuota(ctx, queue, name, 0); err != nil {
		return err
	}
	consumer := Consumer(queue, name)
	err = b.repeat(ctx, b.prefix+"CONSUMER.DELETE."+b.Jobs()+"."+consumer, func(ctx context.Context) error {
		return b.js.DeleteConsumer(ctx, b.Jobs(), consumer)
	})
	if err != nil && !isCode(err, jetstream.JSErrCodeConsumerNotFound) {
		return fmt.Errorf("stream: remove quota %q of queue %q: %w", name, queue, err)
	}
	if busy := b.checkEmpty(ctx, queue, name); busy != nil {
		return errors.Join(busy, b.noteQuota(ctx, queue, name, size), b.applyQuota(ctx, queue, name))
	}
	return b.announceLanes(queue)
}

func (b *Broker) checkEmpty(ctx context.Context, queue, name string) error {
	job, err := b.Last(ctx, b.Jobs(), b.LaneFilter(queue, name))
	if err != nil {
		return err
	}
	if job != nil {
		return fmt.Errorf("stream: quota %q of queue %q: it holds jobs (wait until they have run, or cancel them)", name, queue)
	}
	return nil
}

func (b *Broker) announceLanes(queue string) error {
	if err := b.nc.Publish(b.LanesEvent(queue), nil); err != nil {
		return fmt.Errorf("stream: tell workers of the lanes of %q: %w", queue, err)
	}
	return nil
}
