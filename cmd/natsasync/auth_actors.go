package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// actor is a login that is being put together.
type actor struct {
	login  access.Login
	key    task.Key
	queues bool // its login may publish jobs
}

func (c authSetupCmd) actors(names stream.Names) (map[string]*actor, error) {
	actors := map[string]*actor{}
	into, quotas, err := c.lists()
	if err != nil {
		return nil, err
	}
	var callers []task.User
	add := func(flag string, role access.Role, text string, bound bool) error {
		name, value, given := strings.Cut(text, "=")
		if err := task.CheckToken(flag, name); err != nil {
			return err
		}
		if name == "admin" && role != access.Admin {
			return fmt.Errorf("%s %q: the name is that of the login that may do everything (choose another)", flag, name)
		}
		if name == access.SignerOperator && c.Jwt {
			return fmt.Errorf("%s %q: with --jwt the name is that of who signs the accounts (choose another)", flag, name)
		}
		a := actors[name]
		if a == nil {
			a = &actor{login: access.Login{Name: name, Inside: role.Inside()}, key: task.Key{Name: name}}
			actors[name] = a
		}
		scope := access.Scope{Names: names, Inbox: "_INBOX_" + name}
		switch {
		case role == access.Worker:
			if scope.Queues, err = splitQueues(flag, value); err != nil {
				return err
			}
			scope.Into, scope.Quotas = into[name], quotas[name]
			a.key.Works, a.key.Into = scope.Queues, scope.Into
		case role == access.Handler:
			scope.Durable = name
		case given && !bound:
			return fmt.Errorf("%s %s: it takes a name alone", flag, task.Quote(text))
		case given:
			user, err := parseUser(value)
			if err != nil {
				return fmt.Errorf("%s %s: it is NAME or NAME=REALM:ID", flag, task.Quote(text))
			}
			scope.Owner = user.Owner()
			switch {
			case role == access.Caller:
				callers = append(callers, user)
			case role != access.Waiter && !slices.Contains(a.key.Users, user):
				a.key.Users = append(a.key.Users, user)
			}
		case role == access.Gateway:
			a.key.Realms = c.Realm
		case role == access.Producer, role == access.Canceller, role == access.Caller:
			if len(c.Realm) == 0 {
				return fmt.Errorf("%s %q: for whom? (give %s=REALM:ID for one user, or --realm)", flag, name, name)
			}
			if role != access.Caller {
				a.key.Realms = c.Realm
			}
		case role == access.Operator:
			a.key.Anyone = true
		}
		if err := scope.Check(role); err != nil {
			return fmt.Errorf("%s %s: %w", flag, task.Quote(text), err)
		}
		a.login.Rights.Add(access.Of(role, scope))
		a.queues = a.queues || role == access.Producer || role == access.Gateway || role == access.Worker
		if a.queues && a.key.Anyone {
			return fmt.Errorf("%s %s: an operator's key speaks for anyone, so its login may queue nothing (give that a login of its own)", flag, task.Quote(text))
		}
		return nil
	}
	for _, given := range []struct {
		flag  string
		role  access.Role
		texts []string
		bound bool
	}{
		{"admin", access.Admin, []string{"admin"}, false},
		{"--worker", access.Worker, c.Worker, false},
		{"--producer", access.Producer, c.Producer, true},
		{"--waiter", access.Waiter, c.Waiter, true},
		{"--canceller", access.Canceller, c.Canceller, true},
		{"--watcher", access.Watcher, c.Watcher, false},
		{"--handler", access.Handler, c.Handler, false},
		{"--operator", access.Operator, c.Operator, false},
		{"--gateway", access.Gateway, c.Gateway, false},
		{"--caller", access.Caller, c.Caller, true},
	} {
		for _, text := range given.texts {
			if err := add(given.flag, given.role, text, given.bound); err != nil {
				return nil, err
			}
		}
	}
	if len(c.Gateway) > 1 {
		return nil, fmt.Errorf("--gateway %s: there is one already (run as many processes as you like with the login %q)", task.Quote(c.Gateway[1]), c.Gateway[0])
	}
	if len(c.Caller) > 0 && len(c.Gateway) == 0 {
		return nil, fmt.Errorf("--caller %s: there is no gateway that it could ask (give --gateway NAME)", task.Quote(c.Caller[0]))
	}
	if len(c.Gateway) > 0 {
		if err := entrust(&actors[c.Gateway[0]].key, callers); err != nil {
			return nil, err
		}
	}
	if len(actors) == 1 {
		return nil, errors.New("auth setup: there are no logins (give --worker, --producer and so on)")
	}
	for _, list := range []map[string][]string{into, quotas} {
		for name := range list {
			if a := actors[name]; a == nil || len(a.key.Works) == 0 {
				return nil, fmt.Errorf("--into and --quota of %q: there is no worker of that name", name)
			}
		}
	}
	return actors, nil
}

// entrust has the gateway's key speak for those who may ask it, beside its realms.
func entrust(gateway *task.Key, callers []task.User) error {
	for _, user := range callers {
		if !slices.Contains(gateway.Realms, user.Realm) && !slices.Contains(gateway.Users, user) {
			gateway.Users = append(gateway.Users, user)
		}
	}
	if len(gateway.Realms)+len(gateway.Users) == 0 {
		return fmt.Errorf("--gateway %q: for whom? (give --caller NAME=REALM:ID, or --realm)", gateway.Name)
	}
	return nil
}

func (c authSetupCmd) lists() (into, quotas map[string][]string, err error) {
	into, quotas = map[string][]string{}, map[string][]string{}
	for _, l := range []struct {
		flag  string
		texts []string
		to    map[string][]string
	}{{"--into", c.Into, into}, {"--quota", c.Quota, quotas}} {
		for _, text := range l.texts {
			name, value, _ := strings.Cut(text, "=")
			list, err := splitQueues(l.flag, value)
			if err != nil {
				return nil, nil, err
			}
			l.to[name] = append(l.to[name], list...)
		}
	}
	return into, quotas, nil
}

func splitQueues(flag, text string) ([]string, error) {
	if text == "" {
		return nil, fmt.Errorf("%s: which? (it is NAME=NAME,…, like %s docs=default,mail)", flag, flag)
	}
	list := strings.Split(text, ",")
	for _, name := range list {
		if err := task.CheckToken("name", name); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
	}
	return list, nil
}
