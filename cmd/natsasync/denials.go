package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// denials are what the server has told that the login may not do. It tells it beside its answers: whether it matters
// is known when the command has ended.
type denials struct {
	mu    sync.Mutex
	lines []string
	inbox bool // one is of the inbox, without which nothing is answered
}

// hear is called with what the connection has to say beside its answers.
func (e *environment) hear(nc *nats.Conn, err error) {
	denied := errors.Is(err, nats.ErrPermissionViolation)
	if denied {
		e.denials.add(nc, err)
	}
	if !denied || e.live {
		e.complain(err)
	}
}

func (d *denials) add(nc *nats.Conn, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, err.Error())
	prefix := nc.Opts.InboxPrefix
	if prefix == "" {
		prefix = strings.TrimSuffix(nats.InboxPrefix, ".")
	}
	d.inbox = d.inbox || strings.Contains(err.Error(), `Subscription to "`+prefix+".")
}

// afterwards tells what was denied if the command has failed.
func (e *environment) afterwards(err error) error {
	if err == nil || errors.Is(err, errSilent) {
		return err
	}
	e.denials.mu.Lock()
	defer e.denials.mu.Unlock()
	if !e.live {
		for _, line := range e.denials.lines {
			e.remark("%s", line)
		}
	}
	if e.denials.inbox {
		return fmt.Errorf("%w (the login may not subscribe to its inbox: give --inbox-prefix)", err)
	}
	return err
}
