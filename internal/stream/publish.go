package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/planted"
)

// What can come of a publish that was not stored, or may not have been.
var (
	// ErrExists means that the subject holds a message already: "already queued". Of
	// PublishAsync and PublishBatch it is only the leader's word: a leader refuses the
	// second copy of what it has proposed to its cluster and what may never be stored.
	ErrExists = errors.New("it is there already")
	// ErrFull means that a limit or the disk refuses more.
	ErrFull = errors.New("the stream is full")
	// ErrFenced means that another record stands than the one expected.
	ErrFenced = errors.New("another record stands")
	// ErrUndecided means that a cluster has not decided yet: read through the leader
	// and try again.
	ErrUndecided = errors.New("not decided yet")
	// ErrNoStream means that no stream takes the subject, or that JetStream is not there.
	ErrNoStream = errors.New("no stream takes the subject")
	// ErrNoAnswer means that it may have been stored or not.
	ErrNoAnswer = errors.New("no answer in time")
)

// Headers that the server reads, and those that people with the plain nats tool do.
const (
	headerExpected        = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
	HeaderTTL             = "Nats-TTL"
	HeaderInstallation    = "Async-Installation"
	HeaderTask            = "Async-Task"
	HeaderObject          = "Async-Object"
	HeaderUser            = "Async-User"
	HeaderAttempt         = "Async-Attempt"
	// Of what was put aside.
	HeaderCode     = "Async-Code"
	HeaderReason   = "Async-Reason"
	HeaderSubject  = "Async-Subject"
	HeaderSequence = "Async-Sequence"
	HeaderSize     = "Async-Size"
)

// Fenced returns a message that is stored only if the last message under fence is seq,
// 0 for none.
func Fenced(subject, fence string, seq uint64, data []byte) *nats.Msg {
	if planted.Bug == planted.NoFence {
		return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	}
	values := [2]string{strconv.FormatUint(seq, 10), fence}
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		headerExpected:        values[0:1:1],
		headerExpectedSubject: values[1:2:2],
	}}
}

// PublishAsync stores msg and tells done its sequence, or one of the errors of this
// file; it sends once. done runs on the goroutine that receives answers and must not
// wait for another one. It is safe for concurrent use; msg must not be used again
// before done.
func (b *Broker) PublishAsync(msg *nats.Msg, done func(seq uint64, err error)) {
	b.publishAsync(msg, RequestTimeout, done)
}

func (b *Broker) publishAsync(msg *nats.Msg, timeout time.Duration, done func(seq uint64, err error)) {
	subject := msg.Subject
	b.calls.send(msg, timeout, func(answer *nats.Msg, err error) bool {
		if err != nil {
			done(0, unsent(err))
			return false
		}
		seq, err := readAck(answer.Data)
		b.stored(subject, seq)
		done(seq, b.full(subject, err))
		return false
	})
}

// Publish stores msg, and sends it again after 3 s without an answer, then after 6 s and
// so on, for as long as ctx lives: only for messages whose second copy is refused or harmless. The error
// is one of this file's; [ErrNoAnswer] once ctx has ended, [ErrNoStream] after a
// second try.
func (b *Broker) Publish(ctx context.Context, msg *nats.Msg) (uint64, error) {
	type ack struct {
		seq uint64
		err error
	}
	missing, timeout := 0, RequestTimeout
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if ctx.Err() != nil {
			return 0, b.silent(ctx, msg.Subject)
		}
		acks := make(chan ack, 1)
		b.publishAsync(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, timeout, func(seq uint64, err error) { acks <- ack{seq, err} })
		var a ack
		select {
		case a = <-acks:
		case <-ctx.Done():
			return 0, b.silent(ctx, msg.Subject)
		}
		switch {
		case a.err == nil:
			return a.seq, nil
		case errors.Is(a.err, ErrExists):
			if b.holds(ctx, msg.Subject) {
				return 0, a.err
			}
		case errors.Is(a.err, ErrNoStream):
			if missing++; missing > 1 {
				return 0, a.err
			}
			pause = max(pause, 250*time.Millisecond)
		case !errors.Is(a.err, ErrNoAnswer):
			return 0, a.err
		default:
			timeout = Longer(timeout)
		}
		if denied := b.denied(msg.Subject); denied != nil {
			return 0, denied
		}
		Sleep(ctx, jitter(pause))
	}
}

// full names the stream and the limit in an error that says that there is no room.
func (b *Broker) full(subject string, err error) error {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || !errors.Is(err, ErrFull) {
		return err
	}
	in := b.streamOf(subject)
	limit := "there is no room (see the server's disk and its max_file_store)"
	switch {
	case strings.Contains(refused.Description, "maximum messages exceeded"):
		limit = "max_msgs is reached (nats stream edit " + in + " --max-msgs=-1)"
	case strings.Contains(refused.Description, "maximum bytes exceeded"):
		limit = "max_bytes is reached (nats stream edit " + in + " --max-bytes=-1)"
	case refused.ErrorCode == codeMessageExceeds:
		limit = "the message is larger than max_msg_size (nats stream edit " + in + " --max-msg-size=-1)"
	}
	return fmt.Errorf("%w: stream %q: %s: %w", ErrFull, in, limit, refused)
}

// holds says whether a message is stored on the subject, or that this login may not know.
func (b *Broker) holds(ctx context.Context, subject string) bool {
	n, err := b.Count(ctx, b.streamOf(subject), subject)
	return n > 0 || errors.Is(err, nats.ErrPermissionViolation)
}

// silent is the error for a message that nobody answered. A server whose disk is full answers nothing either.
func (b *Broker) silent(ctx context.Context, subject string) error {
	if !b.nc.IsConnected() {
		return fmt.Errorf("%w: %w", ErrNoAnswer, context.Cause(ctx))
	}
	return fmt.Errorf("%w: stream %q is silent though its server is there (is the disk full? see its log): %w", ErrNoAnswer, b.streamOf(subject), context.Cause(ctx))
}

// unsent says what the want of an answer means.
func unsent(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoStream
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrConnectionClosed):
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err)
}

// Refused says whether the server, or the client's own checks, can never store the
// message: sending it again changes nothing.
func Refused(err error) bool {
	for _, passing := range [...]error{ErrExists, ErrFull, ErrFenced, ErrUndecided, ErrNoStream, ErrNoAnswer, nats.ErrPermissionViolation} {
		if errors.Is(err, passing) {
			return false
		}
	}
	_, refused := errors.AsType[*jetstream.APIError](err)
	return refused || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject)
}

// readAck reads {"stream":"S","seq":4}, by hand as it comes with every job, and an
// error as the JSON it is.
func readAck(data []byte) (uint64, error) {
	const field = `"seq":`
	if at := bytes.Index(data, []byte(field)); at >= 0 && !bytes.Contains(data, []byte(`"error":`)) {
		var seq uint64
		for _, c := range bytes.TrimLeft(data[at+len(field):], " ") {
			if c < '0' || c > '9' {
				break
			}
			seq = seq*10 + uint64(c-'0')
		}
		if seq > 0 {
			return seq, nil
		}
	}
	var a fault
	if err := json.Unmarshal(data, &a); err != nil {
		return 0, fmt.Errorf("%w: decode answer: %w", ErrNoAnswer, err)
	}
	if a.Error == nil {
		return 0, fmt.Errorf("%w: the answer holds no sequence", ErrNoAnswer)
	}
	return 0, classify(a.Error)
}

// Codes of refusals, with the server's own names for them in comments.
const (
	codeInsufficientResources = 10023 // JSInsufficientResourcesErr
	codeStoreFailed           = 10077 // JSStreamStoreFailedF, in three texts
	codeMemoryExceeded        = 10028 // JSMemoryResourcesExceededErr
	codeStorageExceeded       = 10047 // JSStorageResourcesExceededErr
	codeMessageExceeds        = 10054 // JSStreamMessageExceedsMaximumErr
	codeMaxMessages           = 10122
	codeWrongSequence         = 10071 // JSStreamWrongLastSequenceErrF
	codeDuplicateUnderWay     = 10158 // JSStreamDuplicateMessageConflict
	codeNewLeader             = 10163
	codeWrongSequenceConstant = 10164
)

func classify(refused *jetstream.APIError) error {
	switch refused.ErrorCode {
	case codeStoreFailed:
		if strings.Contains(refused.Description, "maximum messages per subject exceeded") {
			return fmt.Errorf("%w: %w", ErrExists, refused)
		}
		return fmt.Errorf("%w: %w", ErrFull, refused)
	case codeInsufficientResources, codeMemoryExceeded, codeStorageExceeded, codeMessageExceeds, codeMaxMessages:
		return fmt.Errorf("%w: %w", ErrFull, refused)
	case codeWrongSequence:
		return fmt.Errorf("%w: %w", ErrFenced, refused)
	case codeDuplicateUnderWay, codeNewLeader, codeWrongSequenceConstant:
		return fmt.Errorf("%w: %w", ErrUndecided, refused)
	case codeClusterNotAvailable, codeClusterNotLeader:
		return fmt.Errorf("%w: %w", ErrNoAnswer, refused)
	}
	return refused
}
