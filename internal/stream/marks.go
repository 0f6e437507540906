package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/task"
)

// ErrRegressed means that a stream is behind where it has been: its server lost messages that it had accepted.
var ErrRegressed = errors.New("the server has lost messages that it had accepted")

// marks are how far the streams have been, by their names. They are kept in two of them, so that one that falls behind
// is known by the other.
type marks map[string]mark

// mark is how far one stream has been. One that was made anew begins again.
type mark struct {
	Created time.Time `json:"created"`
	Seq     uint64    `json:"seq"`
}

const (
	headerRollup = "Nats-Rollup"
	// sureAfter tells a stream that is behind from the moment in which a cluster's new leader has not caught up.
	sureAfter = 5
	// markPause is how old the marks are at most while jobs come.
	markPause = 30 * time.Second
)

// raise takes over what is further in other.
func (m marks) raise(other marks) {
	for stream, theirs := range other {
		ours, known := m[stream]
		if !known || theirs.Created.After(ours.Created) || theirs.Created.Equal(ours.Created) && theirs.Seq > ours.Seq {
			m[stream] = theirs
		}
	}
}

// behind returns an error if a stream is not as far as its mark.
func (m marks) behind(now marks) error {
	for stream, was := range m {
		is, there := now[stream]
		if there && is.Created.Equal(was.Created) && is.Seq < was.Seq {
			return fmt.Errorf(`stream: stream %q: %w: its last sequence is %d and was %d (see what is missing, then "natsasync init --accept-loss" goes on from here)`, stream, ErrRegressed, is.Seq, was.Seq)
		}
	}
	return nil
}

// CheckMarks is [Broker.Regressed], and notes anew how far the streams are.
func (b *Broker) CheckMarks(ctx context.Context) error {
	now, noted, err := b.compareMarks(ctx)
	if err != nil || b.Now().Sub(noted) < markPause {
		return err
	}
	return b.writeMarks(ctx, now)
}

// Regressed compares how far the streams are with how far they have been, as this Broker and those before it noted. The
// error is [ErrRegressed], or that it could not be found out. What this login may not look at is left out.
func (b *Broker) Regressed(ctx context.Context) error {
	_, _, err := b.compareMarks(ctx)
	return err
}

// compareMarks returns how far the streams are, and when that was noted last.
func (b *Broker) compareMarks(ctx context.Context) (marks, time.Time, error) {
	was, noted, err := b.readMarks(ctx)
	if err != nil {
		return nil, noted, err
	}
	was.raise(b.remembered())
	for tries := 1; ; tries++ {
		now, err := b.lookFar(ctx)
		if err != nil {
			return nil, noted, err
		}
		behind := was.behind(now)
		if behind == nil {
			b.remember(now)
			return now, noted, nil
		}
		if tries == sureAfter || !Sleep(ctx, time.Second) {
			return nil, noted, behind
		}
	}
}

// Mark notes how far the streams are now, whatever they have been. Without a signer, whoever trusts keys takes that for
// no mark, and goes on from where the streams are too.
func (b *Broker) Mark(ctx context.Context) error {
	now, err := b.lookFar(ctx)
	if err != nil {
		return err
	}
	return b.writeMarks(ctx, now)
}

// Saw remembers that a message of the stream Jobs was handed out.
func (b *Broker) Saw(seq uint64) { raise(&b.jobsSeen, seq) }

// stored remembers what a message on subject got as its sequence.
func (b *Broker) stored(subject string, seq uint64) {
	switch {
	case strings.HasPrefix(subject, b.outcome):
		raise(&b.outcomesSeen, seq)
	case strings.HasPrefix(subject, b.job):
		raise(&b.jobsSeen, seq)
	}
}

func raise(seen *atomic.Uint64, seq uint64) {
	for was := seen.Load(); seq > was && !seen.CompareAndSwap(was, seq); was = seen.Load() {
	}
}

// remembered returns how far this Broker knows that the streams have been. What it saw in a stream that was made anew
// since it last looked counts for none.
func (b *Broker) remembered() marks {
	b.markMu.Lock()
	defer b.markMu.Unlock()
	all := maps.Clone(b.marks)
	for stream, seen := range map[string]*atomic.Uint64{b.Jobs(): &b.jobsSeen, b.Outcomes(): &b.outcomesSeen} {
		if m, known := all[stream]; known {
			all[stream] = mark{m.Created, max(m.Seq, seen.Load())}
		}
	}
	return all
}

// remember forgets what was seen of a stream that was made anew.
func (b *Broker) remember(now marks) {
	b.markMu.Lock()
	defer b.markMu.Unlock()
	for stream, seen := range map[string]*atomic.Uint64{b.Jobs(): &b.jobsSeen, b.Outcomes(): &b.outcomesSeen} {
		if was, known := b.marks[stream]; known && !was.Created.Equal(now[stream].Created) {
			seen.Store(0)
		}
	}
	b.marks = now
}

// places are where the marks are kept.
func (b *Broker) places() map[string]string {
	return map[string]string{b.Outcomes(): b.note + "mark", b.Later(): b.later + "mark"}
}

// readMarks returns the further of the marks that are kept, and when the older was written.
func (b *Broker) readMarks(ctx context.Context) (marks, time.Time, error) {
	all, written := marks{}, b.Now()
	for stream, subject := range b.places() {
		m, err := b.Last(ctx, stream, subject)
		if unseen(err) {
			continue
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		if m == nil {
			written = time.Time{}
			continue
		}
		kept, err := b.readMark(m)
		if errors.Is(err, task.ErrNoKeys) {
			return nil, time.Time{}, err
		}
		if err != nil {
			b.logger.WarnContext(ctx, "the mark of how far the streams have been counts for nothing", "stream", stream, "err", err)
			written = time.Time{}
			continue
		}
		all.raise(kept)
		if m.Time.Before(written) {
			written = m.Time
		}
	}
	return all, written, nil
}

// readMark believes any worker, where keys are trusted: a mark stops all of them.
func (b *Broker) readMark(m *Message) (marks, error) {
	if b.keys != nil {
		p, err := b.keys.ProveRecord(b.signed(m, task.MaxSkew))
		if err == nil {
			err = p.Worker()
		}
		if err != nil {
			return nil, err
		}
	}
	var kept marks
	err := json.Unmarshal(m.Data, &kept)
	return kept, err
}

// lookFar asks the leaders how far the streams are.
func (b *Broker) lookFar(ctx context.Context) (marks, error) {
	now := marks{}
	for _, stream := range []string{b.Jobs(), b.Later(), b.Outcomes()} {
		info, err := b.info(ctx, stream, "")
		if unseen(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream: look at stream %q: %w", stream, err)
		}
		now[stream] = mark{info.Created, info.State.LastSeq}
	}
	return now, nil
}

// unseen says whether there is nothing to see, or no right to see it.
func unseen(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, jetstream.ErrStreamNotFound)
}

func (b *Broker) writeMarks(ctx context.Context, now marks) error {
	body, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("stream: encode marks: %w", err)
	}
	for stream, subject := range b.places() {
		msg := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
		if stream == b.Later() { // the other keeps only the last few of a subject by itself
			msg.Header.Set(headerRollup, "sub")
		}
		b.Sign(msg, "")
		if _, err := b.Publish(ctx, msg); err != nil && !unseen(err) {
			return fmt.Errorf("stream: note how far the streams are: %w", err)
		}
	}
	return nil
}
