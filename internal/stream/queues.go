package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keelText is for whoever looks at the stream with a tool.
const keelText = "This message stays first in the stream so that long queues stay fast. Leave it here."

// Declare makes the queues that are missing, with the lanes default (of size 1), free and system; when all is there it
// only looks. A lane that is there and differs is left and logged: see Differs. With BindOnly a queue that is missing
// is ErrNoSuchQueue, and lanes are not looked at. Several may declare at the same time.
func (b *Broker) Declare(ctx context.Context, queues ...string) error {
	for _, queue := range queues {
		if err := checkName("queue", queue); err != nil {
			return err
		}
	}
	if len(queues) == 0 {
		return nil
	}
	if b.bindOnly {
		return b.checkQueues(ctx, queues)
	}
	info, err := b.amend(ctx, func(cfg *jetstream.StreamConfig) bool {
		changed := false
		for _, queue := range queues {
			changed = addQueue(cfg, b.QueueFilter(queue), queue) || changed
		}
		return changed
	})
	if err != nil {
		return err
	}
	return b.declareLanes(ctx, info, queues)
}

// Queues returns the declared queues, sorted.
func (b *Broker) Queues(ctx context.Context) ([]string, error) {
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return nil, b.missing(b.Jobs(), err)
	}
	return b.queuesOf(info), nil
}

// PutKeel puts the message that nobody consumes into the stream Jobs unless it is there. With BindOnly it gives up
// after half a second: the login may lack the right.
func (b *Broker) PutKeel(ctx context.Context) error {
	info, err := b.info(ctx, b.Jobs(), b.Keel())
	if err != nil {
		return b.missing(b.Jobs(), err)
	}
	if info.State.Subjects[b.Keel()] > 0 {
		return nil
	}
	if b.bindOnly {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
	}
	_, err = b.Publish(ctx, &nats.Msg{Subject: b.Keel(), Data: []byte(keelText), Header: nats.Header{HeaderInstallation: {b.installation}}})
	if err == nil || errors.Is(err, ErrExists) {
		return nil
	}
	return fmt.Errorf("stream: put the keel: %w", err)
}

// readInstallation takes the installation from the keel: a login that may not look at the stream may read that.
func (b *Broker) readInstallation(ctx context.Context) error {
	m, err := b.LastDirect(ctx, b.Jobs(), b.Keel())
	if err != nil {
		return fmt.Errorf("stream: read the installation: %w", err)
	}
	if m == nil || m.Header.Get(HeaderInstallation) == "" {
		return fmt.Errorf(`stream: the message on %s does not tell the installation (run "natsasync init", or give the installation)`, b.Keel())
	}
	b.installation = m.Header.Get(HeaderInstallation)
	return nil
}

func (b *Broker) checkQueues(ctx context.Context, queues []string) error {
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return b.missing(b.Jobs(), err)
	}
	for _, queue := range queues {
		if err := b.checkQueue(info, queue); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) checkQueue(info *jetstream.StreamInfo, queue string) error {
	if slices.Contains(info.Config.Subjects, b.QueueFilter(queue)) {
		return nil
	}
	return fmt.Errorf("stream: queue %s: %w (%s)", quote(queue), ErrNoSuchQueue, existing(b.queuesOf(info)))
}

func (b *Broker) declareLanes(ctx context.Context, info *jetstream.StreamInfo, queues []string) error {
	lanes, err := b.listLanes(ctx, info, "")
	if err != nil {
		return err
	}
	for _, queue := range queues {
		for _, name := range []string{QuotaDefault, LaneFree, LaneSystem} {
			_, err := b.ensureLane(ctx, info, lanes, queue, name, 0)
			if errors.Is(err, ErrDiffers) {
				b.logger.WarnContext(ctx, "a lane differs", "queue", queue, "lane", name, "err", err)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Broker) queuesOf(info *jetstream.StreamInfo) []string {
	var queues []string
	for _, subject := range info.Config.Subjects {
		if queue, ok := b.queueOf(subject); ok {
			queues = append(queues, queue)
		}
	}
	slices.Sort(queues)
	return queues
}

// queueOf returns the queue that a subject of the stream Jobs declares.
func (b *Broker) queueOf(subject string) (string, bool) {
	rest, ok := strings.CutPrefix(subject, b.job)
	if !ok {
		return "", false
	}
	queue, ok := strings.CutSuffix(rest, ".>")
	return queue, ok && validName(queue)
}

// addQueue adds a queue to the config of the stream Jobs, with the size of its default quota, false if it is there.
func addQueue(cfg *jetstream.StreamConfig, filter, queue string) bool {
	if slices.Contains(cfg.Subjects, filter) {
		return false
	}
	cfg.Subjects = append(cfg.Subjects, filter)
	if key := quotaKey(queue, QuotaDefault); cfg.Metadata[key] == "" {
		setMetadata(cfg, key, "1")
	}
	return true
}

func existing(names []string) string {
	if len(names) == 0 {
		return "there are none"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return "there are " + strings.Join(quoted, ", ")
}
