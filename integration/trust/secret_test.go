package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/hooks"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// lines is a log that a test reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// What is in inputs, results and keys is in no log, no event, no advisory, no error and no reason of a refusal.
func TestNothingSecretIsToldElsewhere(t *testing.T) {
	t.Parallel()
	const input, result, inner = "S3CR3T-input", "S3CR3T-result", "S3CR3T-inner"
	s := newSite(t)
	log := &lines{}
	told := make(chan *nats.Msg, 10_000)
	for _, subject := range []string{"natsasync.event.>", "$JS.EVENT.ADVISORY.>", "$SRV.>"} {
		sub, err := s.js.Conn().ChanSubscribe(subject, told)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	s.work(func(c *consumer.Config) { c.Logger = log.logger() })
	web, err := producer.New(soon(t), s.dial(), producer.Config{Signer: s.web, Trust: s.trust, BindOnly: true, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := hooks.Subscribe(t.Context(), s.js, hooks.Handlers{
		Success: func(_ context.Context, o task.Outcome) error { return errors.New("it fails always") },
		Failure: func(context.Context, task.Outcome) error { return nil },
	}, hooks.Config{Trust: s.trust, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	succeeds(s, queue(s, web, alice, say.On("", input).OnSuccess(hear)))
	succeeds(s, queue(s, web, alice, goOn.On("", input)))
	succeeds(s, queue(s, web, alice, retry.On("", input, task.Retry(task.Policy{Attempts: 3, Delay: 1}))))
	var errs []error
	if _, err := producer.Enqueue(as(t.Context(), alice), web, say.On("no path", input)); err != nil {
		errs = append(errs, err)
	}
	if _, err := producer.Enqueue(as(t.Context(), alice), web, say.On("", strings.Repeat(input, 40_000))); err != nil {
		errs = append(errs, err)
	}
	wrong := task.Define[map[string]string, int]("doc.say") // its worker wants a text
	job := queue(s, web, alice, wrong.On("", map[string]string{"password": inner}))
	if _, err := job.Wait(t.Context()); err != nil {
		errs = append(errs, err)
	}
	number := task.Define[string, int]("doc.say") // its worker gives a text
	if _, err := queue(s, web, alice, number.On("", result)).Wait(t.Context()); err != nil {
		errs = append(errs, err)
	}
	for i, spoil := range []func(*nats.Msg){
		func(m *nats.Msg) { m.Header = nats.Header{} },
		func(m *nats.Msg) { m.Data = m.Data[:len(m.Data)-2]; s.sign(m, s.web, "", 0) },
		func(m *nats.Msg) { m.Data = append(m.Data, input...); s.sign(m, s.web, "", 0) },
	} {
		e, err := say.On("", input).With(task.WithID(fmt.Sprint("spoilt-", i))).Spec().Seal(task.Sealing{Installation: s.broker.Installation(), User: alice, Now: s.broker.Now()})
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: s.broker.Job("default", "default", alice.Owner(), e.ID), Data: e.Encode(), Header: nats.Header{}}
		spoil(m)
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		s.refused(m.Subject)
	}
	sub.Stop()
	if len(errs) != 4 {
		t.Errorf("%d errors, want 4: %v", len(errs), errs)
	}
	for _, err := range errs {
		if strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("an error tells: %v", err)
		}
	}
	for _, m := range s.aside() {
		if strings.Contains(fmt.Sprint(m.Header), "S3CR3T") {
			t.Errorf("a refusal tells: %v", m.Header)
		}
	}
	if text := log.String(); strings.Contains(text, "S3CR3T") || !strings.Contains(text, "put aside") {
		t.Errorf("the log tells, or says nothing:\n%s", text)
	}
	if err := s.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	n := len(told)
	for range n {
		if m := <-told; strings.Contains(string(m.Data), "S3CR3T") || strings.Contains(fmt.Sprint(m.Header), "S3CR3T") {
			t.Errorf("%s tells: %s", m.Subject, m.Data)
		}
	}
	if n == 0 {
		t.Error("there were no events and advisories to look at")
	}
}
