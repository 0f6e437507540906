package stream

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Keys in the metadata of the stream Jobs.
const (
	metaInstallation = "installation"
	metaLease        = "lease"
	metaQuota        = "quota." // and queue.name
)

const (
	outcomesAge      = 8 * 24 * time.Hour
	recordsPerKind   = 10
	rejectedMessages = 10_000
	rejectedBytes    = 64 << 20
	// maxLanes is more than one stream can serve well; unset, a server refuses the 1,001st.
	maxLanes = 10_000
)

// errDiffers makes one error of what differs.
func errDiffers(what string, diffs []string, fix string) error {
	return fmt.Errorf("stream: %s: %w: %s (%s)", what, ErrDiffers, strings.Join(diffs, "; "), fix)
}

func (b *Broker) openStreams(ctx context.Context, cfg Config) error {
	if cfg.BindOnly {
		return b.bindStreams(ctx, cfg.Lease)
	}
	lease, err := b.firstLease(ctx, cfg.Lease)
	if err != nil {
		return err
	}
	jobs := b.jobsConfig()
	jobs.Metadata = map[string]string{metaInstallation: rand.Text(), metaLease: lease.String()}
	for _, queue := range cfg.Queues {
		addQueue(&jobs, b.QueueFilter(queue), queue)
	}
	if _, err := b.makeStreams(ctx, jobs); err != nil {
		return err
	}
	if err := b.adopt(ctx, cfg.Lease, lease); err != nil {
		return err
	}
	err = b.EnsureDue(ctx)
	if errors.Is(err, ErrDiffers) {
		b.logger.WarnContext(ctx, "a consumer differs", "stream", b.Later(), "err", err)
		return nil
	}
	return err
}

func (b *Broker) makeStreams(ctx context.Context, jobs jetstream.StreamConfig) (made []string, err error) {
	for _, want := range []jetstream.StreamConfig{jobs, b.laterConfig(), b.outcomesConfig(), b.rejectedConfig()} {
		isNew, err := b.makeStream(ctx, want)
		if err != nil {
			return made, err
		}
		if isNew {
			made = append(made, want.Name)
		}
	}
	return made, nil
}

// Remake makes the streams that are gone, empty and with the installation and the lease that this Broker knows. Restore
// then declares queues in them; the sizes of quotas are gone with the stream Jobs. With BindOnly nothing is made.
func (b *Broker) Remake(ctx context.Context) error {
	if b.bindOnly {
		return nil
	}
	jobs := b.jobsConfig()
	jobs.Metadata = map[string]string{metaInstallation: b.installation, metaLease: b.lease.String()}
	made, err := b.makeStreams(ctx, jobs)
	for _, name := range made {
		b.logger.ErrorContext(ctx, "a stream is gone with what was in it, and is made again (who deleted it, or did the server lose it?)", "stream", name)
	}
	if err != nil {
		return err
	}
	return b.PutKeel(ctx)
}

func (b *Broker) bindStreams(ctx context.Context, lease time.Duration) error {
	info, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return b.missing(b.Jobs(), err)
	}
	if err := b.compareStream(info.Config, b.jobsConfig()); err != nil {
		return err
	}
	if !b.readers.ok {
		for _, want := range []jetstream.StreamConfig{b.laterConfig(), b.outcomesConfig(), b.rejectedConfig()} {
			if err := b.bindStream(ctx, want); err != nil {
				return err
			}
		}
	}
	return b.take(info.Config.Metadata, lease)
}

// bindStream checks a stream that this login may have no right to look at: then it is not missing.
func (b *Broker) bindStream(ctx context.Context, want jetstream.StreamConfig) error {
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	info, err := b.info(short, want.Name, "")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b.missing(want.Name, err)
	}
	if err != nil {
		b.logger.DebugContext(ctx, "this login cannot look at a stream", "stream", want.Name, "err", err)
		return nil
	}
	return b.compareStream(info.Config, want)
}

func (b *Broker) missing(stream string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		fix := "start a service without BindOnly"
		if b.bindOnly {
			fix = "leave BindOnly out"
		}
		return fmt.Errorf(`stream: stream %q: is not there: %w (run "natsasync init", or %s)`, stream, err, fix)
	}
	return fmt.Errorf("stream: look at stream %q: %w", stream, err)
}

// makeStream makes a stream that is not there and compares one that is.
func (b *Broker) makeStream(ctx context.Context, want jetstream.StreamConfig) (made bool, err error) {
	for {
		info, err := b.info(ctx, want.Name, "")
		if err == nil {
			return false, b.compareStream(info.Config, want)
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, b.missing(want.Name, err)
		}
		err = b.repeat(ctx, b.prefix+"STREAM.CREATE."+want.Name, func(ctx context.Context) error {
			_, err := b.js.CreateStream(ctx, want)
			return err
		})
		if err == nil {
			b.logger.InfoContext(ctx, "made a stream", "stream", want.Name, "replicas", want.Replicas)
			return true, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return false, fmt.Errorf(`stream: make stream %q: %w (an administrator can make it with "natsasync init"; then set BindOnly)`, want.Name, err)
		}
		if !Sleep(ctx, jitter(20*time.Millisecond)) {
			return false, fmt.Errorf("stream: make stream %q: %w", want.Name, context.Cause(ctx))
		}
	}
}

// firstLease is the lease of streams that are made now: the one given, else that of the stream Later, if only the jobs
// were deleted: running workers go on with it.
func (b *Broker) firstLease(ctx context.Context, given time.Duration) (time.Duration, error) {
	if given != 0 {
		return given, nil
	}
	due, err := b.consumerInfo(ctx, b.Later(), DueConsumer)
	switch {
	case err == nil:
		return due.Config.AckWait, nil
	case isCode(err, jetstream.JSErrCodeStreamNotFound), isCode(err, jetstream.JSErrCodeConsumerNotFound),
		errors.Is(err, nats.ErrPermissionViolation): // who may not look there makes no streams either
		return defaultLease, nil
	}
	return 0, fmt.Errorf("stream: look at consumer %q: %w", DueConsumer, err)
}

// adopt takes the lease and the installation of the namespace. A stream that was made by hand gets the lease, and an
// installation that comes out the same for all who adopt it at once.
func (b *Broker) adopt(ctx context.Context, given, first time.Duration) error {
	made, err := b.info(ctx, b.Jobs(), "")
	if err != nil {
		return b.missing(b.Jobs(), err)
	}
	sum := sha256.Sum256(fmt.Append(nil, b.Jobs(), made.Created.UnixNano()))
	ours := map[string]string{metaInstallation: base32.StdEncoding.EncodeToString(sum[:])[:26], metaLease: first.String()}
	info, err := b.amend(ctx, func(cfg *jetstream.StreamConfig) bool {
		changed := false
		for _, key := range []string{metaInstallation, metaLease} {
			if cfg.Metadata[key] == "" {
				setMetadata(cfg, key, ours[key])
				changed = true
			}
		}
		if !slices.Contains(cfg.Subjects, b.Keel()) {
			cfg.Subjects = append(cfg.Subjects, b.Keel())
			changed = true
		}
		return changed
	})
	if err != nil {
		return err
	}
	return b.take(info.Config.Metadata, given)
}

func (b *Broker) take(metadata map[string]string, lease time.Duration) error {
	b.installation = metadata[metaInstallation]
	if b.installation == "" {
		return fmt.Errorf(`stream: stream %q: its metadata has no "installation" (run "natsasync init")`, b.Jobs())
	}
	theirs, err := time.ParseDuration(metadata[metaLease])
	if err != nil || theirs < minLease {
		return fmt.Errorf(`stream: stream %q: its metadata has the lease %s, which is no duration of at least %s (set it with "nats stream edit")`, b.Jobs(), quote(metadata[metaLease]), minLease)
	}
	if lease != 0 && lease != theirs {
		return fmt.Errorf(`stream: lease "%s": the namespace %q has %s (leave the field out, or give every worker and producer the same)`, lease, b.Namespace(), theirs)
	}
	b.lease = theirs
	return nil
}

// amend changes the config of the stream Jobs until the change stands. Stream updates have no compare-and-set: of two
// at once the later wins whole, so each is read again after a random while, longer where the server is slow: the other
// may still be between its read and its write. change returns false when all is there.
func (b *Broker) amend(ctx context.Context, change func(*jetstream.StreamConfig) bool) (*jetstream.StreamInfo, error) {
	for {
		began := time.Now()
		info, err := b.info(ctx, b.Jobs(), "")
		if err != nil {
			return nil, b.missing(b.Jobs(), err)
		}
		cfg := info.Config
		cfg.Subjects = slices.Clone(cfg.Subjects)
		cfg.Metadata = maps.Clone(cfg.Metadata)
		if !change(&cfg) {
			return info, nil
		}
		err = b.repeat(ctx, b.prefix+"STREAM.UPDATE."+b.Jobs(), func(ctx context.Context) error {
			_, err := b.js.UpdateStream(ctx, cfg)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("stream: change stream %q: %w", b.Jobs(), err)
		}
		took := time.Since(began)
		if !Sleep(ctx, between(50*time.Millisecond, 200*time.Millisecond)+4*took) {
			return nil, fmt.Errorf("stream: change stream %q: %w", b.Jobs(), context.Cause(ctx))
		}
	}
}

func setMetadata(cfg *jetstream.StreamConfig, key, value string) {
	if cfg.Metadata == nil {
		cfg.Metadata = make(map[string]string)
	}
	cfg.Metadata[key] = value
}

type streamAnswer struct {
	fault
	jetstream.StreamInfo
}

func (a *streamAnswer) given() time.Time { return a.TimeStamp }

// info asks the leader about a stream; a filter adds the subjects under it with their counts.
func (b *Broker) info(ctx context.Context, stream, filter string) (*jetstream.StreamInfo, error) {
	var got streamAnswer
	err := b.api(ctx, "STREAM.INFO."+stream, map[string]string{"subjects_filter": filter}, &got)
	if err != nil {
		return nil, err
	}
	return &got.StreamInfo, nil
}

// Info returns what the server says about a stream.
func (b *Broker) Info(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	info, err := b.info(ctx, stream, "")
	if err != nil {
		return nil, fmt.Errorf("stream: look at stream %q: %w", stream, err)
	}
	return info, nil
}

func (b *Broker) jobsConfig() jetstream.StreamConfig {
	return b.config(jetstream.StreamConfig{
		Name:                 b.Jobs(),
		Description:          "natsasync: jobs to be run. Made by natsasync; change it with its tool only.",
		Subjects:             []string{b.Keel()},
		Retention:            jetstream.WorkQueuePolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxConsumers:         maxLanes,
		AllowDirect:          true,
		AllowAtomicPublish:   true,
	})
}

func (b *Broker) laterConfig() jetstream.StreamConfig {
	return b.config(jetstream.StreamConfig{
		Name:              b.Later(),
		Description:       "natsasync: jobs whose time has not come. Only workers write here.",
		Subjects:          []string{b.later + ">", b.due + ">"},
		Retention:         jetstream.WorkQueuePolicy,
		AllowDirect:       true,
		AllowMsgSchedules: true,
		AllowRollup:       true,
	})
}

func (b *Broker) outcomesConfig() jetstream.StreamConfig {
	return b.config(jetstream.StreamConfig{
		Name:              b.Outcomes(),
		Description:       "natsasync: outcomes of jobs, claims and notes. Only workers and those who may cancel write here.",
		Subjects:          []string{b.outcome + ">", b.note + ">"},
		MaxAge:            outcomesAge,
		MaxMsgsPerSubject: recordsPerKind,
		AllowDirect:       true,
		AllowMsgTTL:       true,
		RePublish:         &jetstream.RePublish{Source: b.outcome + ">", Destination: b.record + ">"},
	})
}

func (b *Broker) rejectedConfig() jetstream.StreamConfig {
	return b.config(jetstream.StreamConfig{
		Name:        b.Rejected(),
		Description: "natsasync: what could not be read or proved, with a code. Look at it and purge it.",
		Subjects:    []string{b.reject + ">"},
		MaxMsgs:     rejectedMessages,
		MaxBytes:    rejectedBytes,
		AllowDirect: true,
	})
}

func (b *Broker) config(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	cfg.Storage = jetstream.FileStorage
	cfg.Replicas = b.replicas
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
		if b.nc.ConnectedClusterName() != "" {
			cfg.Replicas = 3
		}
	}
	return cfg
}
