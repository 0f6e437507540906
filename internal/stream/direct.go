package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pageMessages = 1000
	// pageAnswers has room for whatever one request is answered with: 1,024 results and the end mark.
	pageAnswers = 1025
	// pageBytes keeps a page within the timeout of a request on a slow line.
	pageBytes = 1 << 20
	// pageFilters of a job each, with a claim and an outcome, fit into the 1,024 results of one answer.
	pageFilters = 512

	headerPending = "Nats-Num-Pending"
	headerUpTo    = "Nats-UpTo-Sequence"
)

var (
	errNone    = errors.New("no messages")
	errTooMany = errors.New("too many results")
	// errUnreadable also hides where the message lies: the server writes that into its headers.
	errUnreadable = errors.New("the headers of a message cannot be read")
)

// pageRequest is a batched direct get: the next messages on a filter, or the last on each of many.
type pageRequest struct {
	Seq      uint64   `json:"seq,omitempty"`
	Next     string   `json:"next_by_subj,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
	Last     []string `json:"multi_last,omitempty"`
	UpTo     uint64   `json:"up_to_seq,omitempty"`
}

type page struct {
	messages []*Message
	pending  uint64 // that did not fit
	upTo     uint64
}

func (b *Broker) page(ctx context.Context, stream string, request pageRequest) (page, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return page{}, fmt.Errorf("stream: encode request: %w", err)
	}
	subject := b.prefix + "DIRECT.GET." + stream
	var got page
	err = b.repeat(ctx, subject, func(ctx context.Context) error {
		got, err = b.askPage(ctx, subject, body)
		return err
	})
	if errors.Is(err, errUnreadable) && request.Next != "" {
		err = b.passUnreadable(ctx, stream, request, &got)
	}
	if errors.Is(err, errNone) {
		return page{}, nil
	}
	if err != nil {
		return page{}, fmt.Errorf("stream: read %q: %w", stream, err)
	}
	return got, nil
}

// passUnreadable adds a message whose headers cannot be read, without them, to the page that ends before it.
func (b *Broker) passUnreadable(ctx context.Context, stream string, request pageRequest, got *page) error {
	from := request.Seq
	if n := len(got.messages); n > 0 {
		from = got.messages[n-1].Seq + 1
	}
	m, err := b.leaderGet(ctx, stream, map[string]any{"next_by_subj": request.Next, "seq": from})
	if err != nil {
		return err
	}
	if m == nil {
		return errUnreadable
	}
	got.messages, got.pending = append(got.messages, m), 1
	return nil
}

// askPage reads messages until the server's end mark. It takes them from a channel: other readers of nats.go take a
// stored message for a word of the server's, as isStatus does not.
func (b *Broker) askPage(ctx context.Context, subject string, body []byte) (page, error) {
	inbox := b.nc.NewInbox()
	answers := make(chan *nats.Msg, pageAnswers)
	sub, err := b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.nc.PublishRequest(subject, inbox, body); err != nil {
		return page{}, err
	}
	var got page
	for {
		var msg *nats.Msg
		select {
		case msg = <-answers:
		case <-ctx.Done():
			return page{}, ctx.Err()
		}
		if isEnd(msg) {
			got.pending, _ = strconv.ParseUint(last(msg.Header, headerPending), 10, 64)
			got.upTo, _ = strconv.ParseUint(last(msg.Header, headerUpTo), 10, 64)
			return got, nil
		}
		m, err := storedMessage(msg)
		if errors.Is(err, errUnreadable) {
			return got, err
		}
		if err != nil {
			return page{}, err
		}
		got.messages = append(got.messages, m)
	}
}

// askLast reads the one answer to a request, as askPage does.
func (b *Broker) askLast(ctx context.Context, subject string) (*Message, error) {
	answers := make(chan *nats.Msg, 1)
	failed := make(chan error, 1)
	deadline, _ := ctx.Deadline()
	b.calls.send(&nats.Msg{Subject: subject}, time.Until(deadline), func(answer *nats.Msg, err error) bool {
		if err != nil {
			failed <- err
			return false
		}
		answers <- answer
		return false
	})
	select {
	case msg := <-answers:
		return storedMessage(msg)
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func isEnd(msg *nats.Msg) bool {
	return isStatus(msg) && msg.Header.Get("Status") == "204"
}

// isStatus tells the server's own words from a message whose publisher gave it a header Status: only stored messages
// have a sequence.
func isStatus(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && len(msg.Header[jetstream.SequenceHeader]) == 0
}

func storedMessage(msg *nats.Msg) (*Message, error) {
	if msg.Header == nil {
		return nil, errUnreadable
	}
	if isStatus(msg) {
		return nil, statusError(msg)
	}
	seq, err := strconv.ParseUint(last(msg.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("decode sequence: %w", err)
	}
	stored, err := time.Parse(time.RFC3339Nano, last(msg.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("decode time: %w", err)
	}
	m := &Message{Subject: last(msg.Header, jetstream.SubjectHeader), Seq: seq, Time: stored, Header: msg.Header, Data: msg.Data}
	for _, key := range []string{
		jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer,
		headerPending, jetstream.LastSequenceHeader,
	} {
		dropLast(m.Header, key)
	}
	return m, nil
}

func statusError(msg *nats.Msg) error {
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch status {
	case "404":
		return errNone
	case "413":
		return errTooMany
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("direct get: %s %s", status, text)
	}
}

// last returns the value that the server added: after those that a publisher may have given the same name.
func last(h nats.Header, key string) string {
	values := h[key]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func dropLast(h nats.Header, key string) {
	values := h[key]
	if len(values) <= 1 {
		delete(h, key)
		return
	}
	h[key] = values[:len(values)-1]
}
