package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/natsasync/natsasync/internal/gateway"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

type gatewayCmd struct {
	Account    []string `sep:"none" placeholder:"ACCOUNT=REALM" help:"Logins of this account are users of this realm; their names are the IDs. May be given again."`
	Login      []string `sep:"none" placeholder:"ACCOUNT/LOGIN=REALM:ID" help:"This login is this user; it goes before --account. May be given again."`
	MaxPending int      `help:"Refuse calls for a queue in which so many jobs wait; 0 is no limit."`
}

func (c gatewayCmd) people() (gateway.People, error) {
	p := gateway.People{Realms: map[string]string{}, Logins: map[gateway.Caller]task.User{}}
	for _, text := range c.Account {
		account, realm, _ := strings.Cut(text, "=")
		if account == "" || realm == "" {
			return p, fmt.Errorf("--account %s: it is ACCOUNT=REALM, like APPS=/site/users", task.Quote(text))
		}
		p.Realms[account] = realm
	}
	for _, text := range c.Login {
		who, as, _ := strings.Cut(text, "=")
		account, login, _ := strings.Cut(who, "/")
		user, err := parseUser(as)
		if err != nil || account == "" || login == "" {
			return p, fmt.Errorf("--login %s: it is ACCOUNT/LOGIN=REALM:ID, like APPS/alice=/site/users:alice", task.Quote(text))
		}
		p.Logins[gateway.Caller{Account: account, User: login}] = user
	}
	if len(p.Realms)+len(p.Logins) == 0 {
		return p, errors.New("gateway: who may ask? (give --account or --login)")
	}
	return p, nil
}

// Run takes calls until it is interrupted.
func (c gatewayCmd) Run(ctx context.Context, e *environment) error {
	people, err := c.people()
	if err != nil {
		return usageError{err}
	}
	names, err := stream.NewNames(e.connection.Namespace)
	if err != nil {
		return err
	}
	signer, err := e.connection.signer()
	if err != nil {
		return err
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
	g, err := gateway.Start(s.nc, client, names.Gateway(), people, s.logger())
	if err != nil {
		return err
	}
	e.remark("the gateway takes calls on %s", names.Gateway())
	if signer == nil {
		e.remark("it signs nothing: workers that trust keys put its jobs aside (give --sign)")
	}
	<-ctx.Done()
	return g.Stop()
}
