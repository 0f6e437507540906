package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is a stored message. Its Header holds what was published; the Subject, Seq and Time are the server's word.
type Message struct {
	Subject string
	Seq     uint64
	Time    time.Time
	Header  nats.Header
	Data    []byte
}

// Last asks the leader for the last message on a filter, nil if there is none. Its answer may decide something; that of
// LastDirect, LastEach and Range may be stale in a cluster.
//
// A login that may read the messages of some owners alone cannot ask the leader: permissions see subjects, and that
// request has its filter in its body. If the Config allows it, any replica must do then.
func (b *Broker) Last(ctx context.Context, stream, filter string) (*Message, error) {
	if m, may, err := b.lastOfLeader(ctx, stream, filter); may {
		return m, err
	}
	return b.LastDirect(ctx, stream, filter)
}

// lastOfLeader is Last for who may ask the leader; may is false for a login that may not and is let read from others.
func (b *Broker) lastOfLeader(ctx context.Context, stream, filter string) (m *Message, may bool, err error) {
	if b.bound(stream) {
		return nil, false, nil
	}
	m, err = b.leaderGet(ctx, stream, map[string]any{"last_by_subj": filter})
	if b.readers.ok && errors.Is(err, nats.ErrPermissionViolation) {
		b.readers.of.Store(stream, true)
		return nil, false, nil
	}
	return m, true, err
}

// bound says whether this login may not ask the leader of a stream.
func (b *Broker) bound(stream string) bool {
	_, is := b.readers.of.Load(stream)
	return is
}

// Get asks the leader for the message of a sequence, nil if there is none.
func (b *Broker) Get(ctx context.Context, stream string, seq uint64) (*Message, error) {
	if seq == 0 {
		return nil, nil
	}
	return b.leaderGet(ctx, stream, map[string]any{"seq": seq})
}

// LastDirect asks any replica for the last message on a filter, nil if it has none. The filter is part of the subject
// asked, so that permissions can tell owners apart.
func (b *Broker) LastDirect(ctx context.Context, stream, filter string) (*Message, error) {
	subject := b.prefix + "DIRECT.GET." + stream + "." + filter
	var got *Message
	err := b.repeat(ctx, subject, func(ctx context.Context) (err error) {
		got, err = b.askLast(ctx, subject)
		return err
	})
	if errors.Is(err, errNone) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream: read %q: %w", stream, err)
	}
	return got, nil
}

// Delete removes a message; one that is gone already is no error.
func (b *Broker) Delete(ctx context.Context, stream string, seq uint64) error {
	var got struct{ fault }
	err := b.api(ctx, "STREAM.MSG.DELETE."+stream, map[string]any{"seq": seq, "no_erase": true}, &got)
	if err == nil {
		return nil
	}
	if isCode(err, codeSequenceNotFound) || isCode(err, codeMessageDelete) {
		left, readErr := b.Get(ctx, stream, seq)
		if readErr == nil && left == nil {
			return nil
		}
	}
	return fmt.Errorf("stream: delete message %d of %q: %w", seq, stream, err)
}

// Count asks the leader how many messages a filter matches. The answer lists every subject (4 MB for 100,000): not for
// a wide filter in a loop.
func (b *Broker) Count(ctx context.Context, stream, filter string) (uint64, error) {
	var sum uint64
	for offset := 0; ; {
		var page struct {
			fault
			Total int `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		err := b.api(ctx, "STREAM.INFO."+stream, map[string]any{"subjects_filter": filter, "offset": offset}, &page)
		if err != nil {
			return 0, fmt.Errorf("stream: count %q in %q: %w", filter, stream, err)
		}
		for _, n := range page.State.Subjects {
			sum += n
		}
		offset += len(page.State.Subjects)
		if offset >= page.Total || len(page.State.Subjects) == 0 {
			return sum, nil
		}
	}
}

// Left counts the jobs that lie in the streams, those that run too. It looks along the way of a job and back, so that
// one that moves meanwhile is counted, perhaps twice.
func (b *Broker) Left(ctx context.Context) (uint64, error) {
	var counts [5]uint64
	for i, place := range [...]struct{ stream, filter string }{
		{b.Jobs(), b.JobFilter()},
		{b.Later(), b.LaterFilter()},
		{b.Later(), b.DueFilter()},
		{b.Later(), b.LaterFilter()},
		{b.Jobs(), b.JobFilter()},
	} {
		var err error
		if counts[i], err = b.Count(ctx, place.stream, place.filter); err != nil {
			return 0, err
		}
	}
	return max(counts[0], counts[4]) + max(counts[1], counts[3]) + counts[2], nil
}

// Range yields the messages on a filter ("" is all) in stream order from a sequence on, as any replica has them, until
// there are no more. It reads them by pages: what is removed meanwhile may or may not be seen. An error ends it.
func (b *Broker) Range(ctx context.Context, stream, filter string, from uint64) iter.Seq2[*Message, error] {
	if filter == "" {
		filter = ">"
	}
	return func(yield func(*Message, error) bool) {
		for seq := max(from, 1); ; {
			page, err := b.page(ctx, stream, pageRequest{Seq: seq, Next: filter, Batch: pageMessages, MaxBytes: pageBytes})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, m := range page.messages {
				if !yield(m, nil) {
					return
				}
				seq = m.Seq + 1
			}
			if page.pending == 0 || len(page.messages) == 0 {
				return
			}
		}
	}
}

// LastEach asks any replica for the last message on every subject that one of the filters matches, many filters at
// once, in no order. No filters or no messages are an empty result. The last of the filter alone is read where a filter
// matches more than 1,024 subjects, or a message whose headers nobody can read, and by a login that may read the
// messages of one owner alone.
func (b *Broker) LastEach(ctx context.Context, stream string, filters []string) ([]*Message, error) {
	var all []*Message
	if b.bound(stream) {
		err := b.eachDirect(ctx, stream, filters, func(m *Message) error {
			all = append(all, m)
			return nil
		})
		return all, err
	}
	for len(filters) > 0 {
		n := min(len(filters), pageFilters)
		some, err := b.lastOf(ctx, stream, filters[:n])
		if err != nil {
			return nil, err
		}
		all, filters = append(all, some...), filters[n:]
	}
	return all, nil
}

// lastOf halves what has too many results for one answer, or one that hides the others, until it knows the filter.
func (b *Broker) lastOf(ctx context.Context, stream string, filters []string) ([]*Message, error) {
	var all []*Message
	request := pageRequest{Last: filters, MaxBytes: pageBytes}
	for {
		page, err := b.page(ctx, stream, request)
		unfit := errors.Is(err, errTooMany) || errors.Is(err, errUnreadable)
		if unfit && len(filters) == 1 {
			m, err := b.leaderGet(ctx, stream, map[string]any{"last_by_subj": filters[0]})
			if err != nil || m == nil {
				return nil, err
			}
			return []*Message{m}, nil
		}
		if unfit {
			half := len(filters) / 2
			first, err := b.lastOf(ctx, stream, filters[:half])
			if err != nil {
				return nil, err
			}
			second, err := b.lastOf(ctx, stream, filters[half:])
			return append(first, second...), err
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page.messages...)
		if page.pending == 0 || len(page.messages) == 0 {
			return all, nil
		}
		request.Seq, request.UpTo = page.messages[len(page.messages)-1].Seq+1, page.upTo
	}
}

func (b *Broker) leaderGet(ctx context.Context, stream string, request any) (*Message, error) {
	var got struct {
		fault
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Time    time.Time `json:"time"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
		} `json:"message"`
	}
	err := b.api(ctx, "STREAM.MSG.GET."+stream, request, &got)
	if isCode(err, jetstream.JSErrCodeMessageNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream: read %q: %w", stream, err)
	}
	m := &Message{Subject: got.Message.Subject, Seq: got.Message.Seq, Time: got.Message.Time, Data: got.Message.Data}
	if len(got.Message.Header) > 0 {
		// What cannot be read proves nothing, and must not hide the rest.
		m.Header, _ = nats.DecodeHeadersMsg(got.Message.Header)
	}
	return m, nil
}
