package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/gateway"
	"github.com/natsasync/natsasync/task"
)

// gateQueue queues n jobs one by one through a gateway in this process, which signs them.
func gateQueue(ctx context.Context, s *site, n int) (float64, error) {
	c, _, err := s.client(ctx)
	if err != nil {
		return 0, err
	}
	js, err := s.connect()
	if err != nil {
		return 0, err
	}
	g, err := gateway.Start(js.Conn(), c, s.broker.Names, quiet)
	if err != nil {
		return 0, err
	}
	rate, err := askGate(ctx, s, n)
	return rate, errors.Join(err, g.Stop())
}

func askGate(ctx context.Context, s *site, n int) (float64, error) {
	js, err := s.connect()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for range n {
		e, err := noop.On(object, input).Spec().Seal(task.Sealing{User: alice, Now: time.Now()})
		if err != nil {
			return 0, err
		}
		m, err := js.Conn().RequestMsgWithContext(ctx, &nats.Msg{Subject: s.broker.Gateway(alice.Owner()), Data: e.Encode()})
		if err != nil {
			return 0, err
		}
		if wrong := m.Header.Get("Nats-Service-Error"); wrong != "" {
			return 0, fmt.Errorf("the gateway says %s", wrong)
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}
