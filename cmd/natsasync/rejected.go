package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

type rejectedCmd struct {
	Ls      rejectedLsCmd      `cmd:"" aliases:"list" help:"List messages that were put aside, oldest first."`
	Info    rejectedInfoCmd    `cmd:"" aliases:"i,show" help:"Show a message that was put aside, and why it was."`
	Rm      rejectedRmCmd      `cmd:"" help:"Remove messages that were put aside."`
	Requeue rejectedRequeueCmd `cmd:"" help:"Queue messages again that were put aside, once what was wrong is mended; with --sign in the name of that key."`
}

type rejectedLsCmd struct {
	Code  string `help:"Those with this code."`
	Limit int    `default:"100" help:"At most so many of the newest, 0 for all (${default})."`
}

// rejectedView is one message that was put aside.
type rejectedView struct {
	Seq     uint64      `json:"seq"`
	Time    time.Time   `json:"time"`
	Code    string      `json:"code"`
	Reason  string      `json:"reason"`
	Subject string      `json:"subject"`
	Origin  uint64      `json:"origin_seq,omitempty"`
	Size    int         `json:"size"`
	Cut     bool        `json:"cut,omitempty"`
	Headers nats.Header `json:"headers,omitempty"`
	Body    any         `json:"body,omitempty"`

	message *stream.Message
}

func viewRejected(m *stream.Message) rejectedView {
	v := rejectedView{
		Seq: m.Seq, Time: m.Time, Code: m.Header.Get(stream.HeaderCode), Subject: m.Header.Get(stream.HeaderSubject),
		Reason: m.Header.Get(stream.HeaderReason), Size: len(m.Data), message: m,
	}
	if reason, err := strconv.Unquote(v.Reason); err == nil {
		v.Reason = reason
	}
	v.Origin, _ = strconv.ParseUint(m.Header.Get(stream.HeaderSequence), 10, 64)
	if size, err := strconv.Atoi(m.Header.Get(stream.HeaderSize)); err == nil {
		v.Size, v.Cut = size, size > len(m.Data)
	}
	return v
}

// rejected yields what was put aside, oldest first.
func rejected(ctx context.Context, b *stream.Broker, code string) iter.Seq2[rejectedView, error] {
	return func(yield func(rejectedView, error) bool) {
		for m, err := range b.Range(ctx, b.Rejected(), "", 0) {
			if err != nil {
				yield(rejectedView{}, fmt.Errorf("list what was put aside: %w", err))
				return
			}
			if v := viewRejected(m); (code == "" || v.Code == code) && !yield(v, nil) {
				return
			}
		}
	}
}

// withBroker runs do with the layer under a client.
func (e *environment) withBroker(ctx context.Context, do func(context.Context, *session, *stream.Broker) error) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	b, err := s.broker(ctx)
	if err != nil {
		return err
	}
	return do(ctx, s, b)
}

// Run lists.
func (c rejectedLsCmd) Run(ctx context.Context, e *environment) error {
	if c.Limit < 0 {
		return misuse("--limit %d: it must not be negative (0 is no limit)", c.Limit)
	}
	return e.withBroker(ctx, func(ctx context.Context, s *session, b *stream.Broker) error {
		views := []rejectedView{}
		for v, err := range rejected(ctx, b, c.Code) {
			if err != nil {
				return err
			}
			views = append(views, v)
			if c.Limit > 0 && len(views) > 2*c.Limit {
				views = append(views[:0], views[len(views)-c.Limit:]...)
			}
		}
		if c.Limit > 0 && len(views) > c.Limit {
			views = views[len(views)-c.Limit:]
		}
		if len(views) == 0 && c.Code != "" {
			others, err := codes(ctx, b)
			if err != nil {
				return err
			}
			if others != "" {
				s.remark("of the code %s there is none%s", task.Quote(c.Code), others)
			}
		}
		return s.result(views, func() error {
			if len(views) == 0 {
				return s.say("nothing%s was put aside", ofCode(c.Code))
			}
			rows := make([][]cell, len(views))
			for i, v := range views {
				rows[i] = []cell{{fmt.Sprint(v.Seq), ""}, {humanize.Time(v.Time), ""}, {v.Code, yellow}, {v.Subject, ""}, {fmt.Sprint(v.Size), ""}, {v.Reason, ""}}
			}
			return s.table([]string{"seq", "when", "code", "subject", "bytes", "reason"}, rows)
		})
	})
}

type rejectedInfoCmd struct {
	Seq uint64 `arg:"" help:"Sequence of the message, as ls shows it."`
}

// get reads one message that was put aside.
func getRejected(ctx context.Context, b *stream.Broker, seq uint64) (rejectedView, error) {
	m, err := b.Get(ctx, b.Rejected(), seq)
	if err != nil {
		return rejectedView{}, fmt.Errorf("read message %d: %w", seq, err)
	}
	if m == nil {
		return rejectedView{}, fmt.Errorf(`message %d: nothing of that sequence is put aside (see "natsasync rejected ls")`, seq)
	}
	return viewRejected(m), nil
}

// Run shows one message.
func (c rejectedInfoCmd) Run(ctx context.Context, e *environment) error {
	return e.withBroker(ctx, func(ctx context.Context, s *session, b *stream.Broker) error {
		ctx, cancel := s.brief(ctx)
		defer cancel()
		v, err := getRejected(ctx, b, c.Seq)
		if err != nil {
			return err
		}
		v.Headers = v.message.Header
		body, bad := decodeBody(v.message.Data)
		if bad == nil {
			v.Body = body
		}
		return s.result(v, func() error {
			lines := []string{
				fmt.Sprintf("Code     %s", v.Code), fmt.Sprintf("Reason   %s", v.Reason), fmt.Sprintf("Subject  %s", v.Subject),
				fmt.Sprintf("When     %s (%s)", v.Time.Local().Format(time.DateTime), humanize.Time(v.Time)), fmt.Sprintf("Size     %d bytes", v.Size),
			}
			if v.Cut {
				lines = append(lines, fmt.Sprintf("         of which %d were kept", len(v.message.Data)))
			}
			if h := v.Headers.Get(task.HeaderSignature); h != "" {
				key, _, _ := strings.Cut(h, " ")
				lines = append(lines, "Key      "+key)
			}
			for i := range lines {
				lines[i] = printable(lines[i])
			}
			if err := s.say("%s", strings.Join(lines, "\n")); err != nil {
				return err
			}
			if bad != nil {
				return s.say("Body     no msgpack: %s", printable(bad.Error()))
			}
			return s.writeJSON(body)
		})
	})
}

type rejectedRmCmd struct {
	Seqs  []uint64 `arg:"" optional:"" name:"seq" help:"Sequences of the messages."`
	All   bool     `help:"All of them, or all with --code."`
	Code  string   `help:"With --all: those with this code."`
	Force bool     `short:"f" help:"Do not ask."`
}

// chosen are the messages that a command is about.
func chosen(ctx context.Context, b *stream.Broker, seqs []uint64, all bool, code string) ([]rejectedView, error) {
	if all == (len(seqs) > 0) || code != "" && !all {
		return nil, misuse("give sequences, or --all (with --code for those of one code)")
	}
	var views []rejectedView
	if all {
		for v, err := range rejected(ctx, b, code) {
			if err != nil {
				return nil, err
			}
			views = append(views, v)
		}
		if len(views) == 0 {
			others, err := codes(ctx, b)
			if err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("nothing%s was put aside%s", ofCode(code), others)
		}
		return views, nil
	}
	for _, seq := range seqs {
		v, err := getRejected(ctx, b, seq)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// Run removes messages.
func (c rejectedRmCmd) Run(ctx context.Context, e *environment) error {
	return e.withBroker(ctx, func(ctx context.Context, s *session, b *stream.Broker) error {
		views, err := chosen(ctx, b, c.Seqs, c.All, c.Code)
		if err != nil {
			return err
		}
		if err := s.confirm(c.Force, "Remove %s for good", messages(len(views))); err != nil {
			return err
		}
		for _, v := range views {
			if err := b.Delete(ctx, b.Rejected(), v.Seq); err != nil {
				return err
			}
		}
		return s.result(map[string]int{"removed": len(views)}, func() error { return s.say("%s removed", messages(len(views))) })
	})
}

type rejectedRequeueCmd struct {
	Seqs []uint64 `arg:"" optional:"" name:"seq" help:"Sequences of the messages."`
	All  bool     `help:"All of them, or all with --code."`
	Code string   `help:"With --all: those with this code."`
}

// requeued is what became of one message.
type requeued struct {
	Seq     uint64 `json:"seq"`
	Subject string `json:"subject,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Run publishes messages again where they came from, and removes them then.
func (c rejectedRequeueCmd) Run(ctx context.Context, e *environment) error {
	signer, err := e.connection.signer()
	if err != nil {
		return err
	}
	if signer != nil && c.All {
		return misuse("--all: with --sign the jobs become those of that key (look at each, and give sequences)")
	}
	return e.withBroker(ctx, func(ctx context.Context, s *session, b *stream.Broker) error {
		views, err := chosen(ctx, b, c.Seqs, c.All, c.Code)
		if err != nil {
			return err
		}
		var done []requeued
		failed := 0
		for _, v := range views {
			r := requeued{Seq: v.Seq}
			if r.Subject, err = requeue(ctx, s, b, v, signer); err != nil {
				r.Error = err.Error()
				failed++
			}
			done = append(done, r)
		}
		err = s.result(done, func() error {
			for _, r := range done {
				line := fmt.Sprintf("message %d is queued again on %s", r.Seq, r.Subject)
				if r.Error != "" {
					line = fmt.Sprintf("message %d stays where it is: %s", r.Seq, r.Error)
				}
				if err := s.say("%s", printable(line)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && failed > 0 {
			err = fmt.Errorf("%s could not be queued again", messages(failed))
		}
		return err
	})
}

// requeue publishes one message. What a schedule had brought back goes into its lane.
func requeue(ctx context.Context, s *session, b *stream.Broker, v rejectedView, signer *task.Signer) (string, error) {
	if v.Cut {
		return "", fmt.Errorf("only %d of its %d bytes were kept", len(v.message.Data), v.Size)
	}
	subject := v.Subject
	if _, ok := b.ParseJob(subject); !ok {
		at, ok := b.ParseLater(subject)
		env, err := task.DecodeEnvelope(v.message.Data)
		if !ok || err != nil {
			return "", errors.Join(fmt.Errorf("it came on %s, which is none of a job", task.Quote(subject)), err)
		}
		if signer == nil {
			return "", errors.New("it was scheduled, and its signature is for that (give --sign)")
		}
		subject = b.Job(at.Queue, env.Lane, at.Owner, at.ID)
	}
	header := nats.Header{}
	for name, values := range v.message.Header {
		if strings.HasPrefix(name, "Async-") {
			header[name] = values
		}
	}
	for _, own := range []string{stream.HeaderCode, stream.HeaderReason, stream.HeaderSubject, stream.HeaderSequence, stream.HeaderSize} {
		delete(header, own)
	}
	if signer != nil {
		delete(header, task.HeaderOrigin)
		header[task.HeaderSignature] = []string{signer.Sign(b.Installation(), subject, "", v.message.Data, b.SureNow(ctx))}
	}
	once, cancel := s.brief(ctx)
	defer cancel()
	if _, err := b.Publish(once, &nats.Msg{Subject: subject, Header: header, Data: v.message.Data}); err != nil {
		if errors.Is(err, stream.ErrExists) {
			return "", errors.New("a job of that ID is queued already")
		}
		return "", err
	}
	return subject, b.Delete(once, b.Rejected(), v.Seq)
}

// codes names those of what was put aside, empty if nothing was.
func codes(ctx context.Context, b *stream.Broker) (string, error) {
	there := map[string]bool{}
	for v, err := range rejected(ctx, b, "") {
		if err != nil {
			return "", err
		}
		there[printable(v.Code)] = true
	}
	if len(there) == 0 {
		return "", nil
	}
	return fmt.Sprintf(" (there are messages with the codes %s)", strings.Join(slices.Sorted(maps.Keys(there)), ", ")), nil
}

func ofCode(code string) string {
	if code == "" {
		return ""
	}
	return " with the code " + task.Quote(code)
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return strconv.Itoa(n) + " messages"
}
