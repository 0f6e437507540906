package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// outcomeBody is as long as an outcome of ours.
func outcomeBody(s *site, quota string) ([]byte, error) {
	m, err := s.message(quota)
	if err != nil {
		return nil, err
	}
	e, err := task.DecodeEnvelope(m.Data)
	if err != nil {
		return nil, err
	}
	r := task.Record{Outcome: task.Outcome{
		ID: e.ID, Task: e.Task, Queue: e.Queue, Object: e.Object, User: e.User, End: task.Succeeded, Attempt: 1,
		Queued: e.Issued, Started: time.Now(), Ended: time.Now(), Worker: "worker-name-123456-01234567",
	}}
	return r.Encode(), nil
}

// rawQueue publishes n jobs, waiting for each, and returns how many a second.
func rawQueue(ctx context.Context, s *site, n int) (float64, error) {
	js, err := s.connect()
	if err != nil {
		return 0, err
	}
	all, err := s.messages(task.DefaultQuota, n)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, m := range all {
		if _, err := js.PublishMsg(ctx, m); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// libraryBulk publishes n jobs as nats.go does it, a window of them at once, and returns how many a second.
func libraryBulk(ctx context.Context, s *site, n int) (float64, error) {
	js, err := s.connect()
	if err != nil {
		return 0, err
	}
	all, err := s.messages(task.DefaultQuota, n)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, m := range all {
		if _, err := js.PublishMsgAsync(m); err != nil {
			return 0, err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	rate := float64(n) / time.Since(began).Seconds()
	return rate, s.holds(ctx, n)
}

// rawBulk is the same with a handler of its own for the answers, in place of a future for each.
func rawBulk(ctx context.Context, s *site, n int) (float64, error) {
	js, err := s.connect()
	if err != nil {
		return 0, err
	}
	all, err := s.messages(task.DefaultQuota, n)
	if err != nil {
		return 0, err
	}
	nc, slots := js.Conn(), make(chan struct{}, window)
	inbox := nats.NewInbox()
	sub, err := nc.Subscribe(inbox, func(m *nats.Msg) {
		if bytes.Contains(m.Data, []byte(`"seq":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
			<-slots // a refused one keeps its place, and the end is never reached
		}
	})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	place := func() error {
		select {
		case slots <- struct{}{}:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("answers are missing: %w", context.Cause(ctx))
		}
	}
	for _, m := range all {
		if err := place(); err != nil {
			return 0, err
		}
		m.Reply = inbox
		if err := nc.PublishMsg(m); err != nil {
			return 0, err
		}
	}
	for range window {
		if err := place(); err != nil {
			return 0, err
		}
	}
	rate := float64(n) / time.Since(began).Seconds()
	return rate, errors.Join(sub.Unsubscribe(), s.holds(ctx, n))
}

// holds is an error unless n jobs are stored, beside the keel.
func (s *site) holds(ctx context.Context, n int) error {
	jobs, err := s.broker.JetStream().Stream(ctx, s.broker.Jobs())
	if err != nil {
		return err
	}
	if got := jobs.CachedInfo().State.Msgs; got != uint64(n+1) {
		return fmt.Errorf("%d messages are stored, want %d", got, n+1)
	}
	return nil
}

// rawTrips publishes n jobs on an idle system, waits for each outcome on the subject on which the server repeats it,
// reads it through the leader, and returns how long the median took, in microseconds.
func rawTrips(ctx context.Context, s *site, n int) (float64, error) {
	stop, err := startRaw(ctx, s, newLaps(task.DefaultQuota, n))
	if err != nil {
		return 0, err
	}
	js, err := s.connect()
	if err != nil {
		return 0, errors.Join(err, stop())
	}
	b, nc := s.broker, js.Conn()
	p50, err := trips(n, func() error {
		m, err := s.message(task.DefaultQuota)
		if err != nil {
			return err
		}
		owner, id, _ := ownerAndID(m.Subject)
		sub, err := nc.SubscribeSync(b.Record(queueName, "*", owner, id))
		if err != nil {
			return err
		}
		if _, err := js.PublishMsg(ctx, m); err != nil {
			return err
		}
		if _, err := sub.NextMsgWithContext(ctx); err != nil {
			return err
		}
		if err := readLast(ctx, nc, b, b.Fence(queueName, owner, id)); err != nil {
			return err
		}
		return sub.Unsubscribe()
	})
	return p50, errors.Join(err, stop())
}

func readLast(ctx context.Context, nc *nats.Conn, b *stream.Broker, filter string) error {
	answer, err := nc.RequestWithContext(ctx, b.APIPrefix()+"STREAM.MSG.GET."+b.Outcomes(), []byte(`{"last_by_subj":"`+filter+`"}`))
	if err != nil {
		return err
	}
	var got struct {
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return err
	}
	if len(got.Message.Data) == 0 {
		return fmt.Errorf("read the outcome: %s", answer.Data)
	}
	return nil
}
