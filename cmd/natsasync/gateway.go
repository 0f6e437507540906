package main

import (
	"context"
	"fmt"

	"github.com/natsasync/natsasync/internal/gateway"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type gatewayCmd struct {
	MaxPending int `help:"Refuse calls for a queue in which so many jobs wait; 0 is no limit."`
}

// Run takes calls until it is interrupted.
func (c gatewayCmd) Run(ctx context.Context, e *environment) error {
	names, err := stream.NewNames(e.connection.Namespace)
	if err != nil {
		return err
	}
	signer, err := e.connection.signer()
	if err != nil {
		return err
	}
	if keys := task.KeysOf(e.connection.trust()); keys != nil && signer != nil {
		if err := keys.CheckProducer(signer); err != nil {
			return fmt.Errorf("--sign: %w", err)
		}
	}
	e.live = true
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	opening, cancel := s.brief(ctx)
	defer cancel()
	client, err := producer.New(opening, s.js, producer.Config{
		Namespace: e.connection.Namespace, BindOnly: true, Logger: s.logger(), Signer: signer, Trust: e.connection.trust(), MaxPending: c.MaxPending,
	})
	if err != nil {
		return s.explain(err)
	}
	g, err := gateway.Start(s.nc, client, names, s.logger())
	if err != nil {
		return err
	}
	e.remark("the gateway takes calls on %s", names.Gateway("*"))
	if signer == nil {
		e.remark("it signs nothing: workers that trust keys put its jobs aside (give --sign)")
	}
	<-ctx.Done()
	return g.Stop()
}
