package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natsasync/natsasync/internal/access"
	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

type authSetupCmd struct {
	Dir       string   `arg:"" help:"Folder for what is made: keys, creds, and the server's configuration. In one of an earlier setup the keys that are there stay, and all else is made anew from the flags."`
	Jwt       bool     `help:"Make JWTs: an operator, accounts, and creds files. Otherwise accounts and nkeys for a configuration file."`
	Worker    []string `sep:"none" placeholder:"NAME=QUEUE,…" help:"A worker of these queues. May be given again, as all that follow."`
	Into      []string `sep:"none" placeholder:"NAME=QUEUE,…" help:"Queues that the jobs of a worker may queue into beside its own."`
	Quota     []string `sep:"none" placeholder:"NAME=QUOTA,…" help:"Quotas of a worker's queues beside \"default\"."`
	Producer  []string `sep:"none" placeholder:"NAME[=REALM:ID]" help:"A login that queues jobs: for one user, or for all of --realm."`
	Realm     []string `sep:"none" placeholder:"REALM" help:"Realms whose users the producers without a user may speak for."`
	Waiter    []string `sep:"none" placeholder:"NAME[=REALM:ID]" help:"A login that waits for jobs: of one user, or of all."`
	Canceller []string `sep:"none" placeholder:"NAME[=REALM:ID]" help:"A login that cancels jobs: of one user, or of all of --realm."`
	Watcher   []string `sep:"none" placeholder:"NAME" help:"A login that sees everything and changes nothing."`
	Handler   []string `sep:"none" placeholder:"NAME" help:"A login that handles all outcomes under the durable name NAME, and hears events."`
	Operator  []string `sep:"none" placeholder:"NAME" help:"A login that watches, cancels, pauses and purges."`
	Gateway   []string `sep:"none" placeholder:"NAME" help:"The login of natsasync gateway, which speaks for --realm and for its callers. There is one, for as many processes as you like."`
	Caller    []string `sep:"none" placeholder:"NAME[=REALM:ID]" help:"A login that queues through the gateway alone: for one user, or for all of the gateway's --realm."`
}

// Run makes everything in memory first: nothing half-done is left.
func (c authSetupCmd) Run(_ context.Context, e *environment) error {
	names, err := stream.NewNames(e.connection.Namespace)
	if err != nil {
		return err
	}
	actors, err := c.actors(names)
	if err != nil {
		return usageError{err}
	}
	dir, err := openFolder(c.Dir)
	if err != nil {
		return err
	}
	var logins []access.Login
	var keys []task.Key
	seeds := make(map[string][]byte)
	for _, name := range slices.Sorted(maps.Keys(actors)) {
		a := actors[name]
		if a.key.Public, seeds[name], err = dir.key(name); err != nil {
			return err
		}
		a.login.Public = a.key.Public
		logins = append(logins, a.login)
		if task.TrustKeys(a.key).Check() == nil {
			keys = append(keys, a.key)
		}
	}
	setup := access.NewSetup(logins...)
	var config string
	if !c.Jwt {
		config = setup.Config()
	} else if config, err = dir.tokens(setup, seeds); err != nil {
		return err
	}
	dir.public(configName, []byte(config))
	trusted, err := dir.trust(keys)
	if err != nil {
		return err
	}
	gone, err := dir.formers(actors, trusted)
	if err != nil {
		return err
	}
	if err := dir.write(); err != nil {
		return err
	}
	for _, l := range gone {
		e.remark("%s", l.text())
	}
	return e.result(map[string]any{"dir": c.Dir, "logins": logins, "keys": keys, "gone": gone}, func() error { return c.tell(e, setup, keys) })
}

// tell says what was made and what to do with it.
func (c authSetupCmd) tell(e *environment, setup access.Setup, keys []task.Key) error {
	file, flag := ".nk", "--nkey"
	if c.Jwt {
		file, flag = ".creds", "--creds"
	}
	lines := []string{
		fmt.Sprintf("%s  for the server: natsasync server --config FILE, or in the configuration of nats-server: include %q", filepath.Join(c.Dir, configName), "./accounts.conf"),
	}
	if len(keys) > 0 {
		lines = append(lines, fmt.Sprintf("%s  whose word counts: task.TrustFile, or --trust", filepath.Join(c.Dir, "keys.json")))
	}
	for _, l := range setup.Logins {
		prefix := ""
		if !l.Inside {
			prefix = " --js-api-prefix " + strings.TrimSuffix(access.OutsideAPI, ".")
		}
		if owner := c.boundTo(l.Name); owner != "" {
			prefix += " --owner " + owner
		}
		signs := ""
		if slices.ContainsFunc(keys, func(k task.Key) bool { return k.Public == l.Public }) {
			signs = "; it signs too: task.SignerFromFile, or --sign"
		}
		lines = append(lines, fmt.Sprintf("%s  login %s: %s, with --inbox-prefix _INBOX_%s%s%s", filepath.Join(c.Dir, l.Name+file), task.Quote(l.Name), flag, l.Name, prefix, signs))
	}
	for _, a := range setup.Apart() {
		lines = append(lines, fmt.Sprintf("login %s gets nothing on %s from %s, who gets the same from it: two accounts cannot import from each other (give who only listens a login of its own)", task.Quote(a.Login), a.Subject, task.Quote(a.From)))
	}
	if c.Jwt {
		lines = append(lines, fmt.Sprintf("%s, %s  keep them offline: they can make any login", filepath.Join(c.Dir, signerFile(access.SignerOperator)), filepath.Join(c.Dir, signerFile("*"))))
	}
	lines = append(lines, fmt.Sprintf("then, once: natsasync %s %s --inbox-prefix _INBOX_admin init%s", flag, filepath.Join(c.Dir, "admin"+file), queuesOf(keys)+handlersOf(c.Handler)))
	return e.say("%s", strings.Join(lines, "\n"))
}

// boundTo is the one user that a login is for, "" if it is for several.
func (c authSetupCmd) boundTo(login string) string {
	owner := ""
	for _, texts := range [][]string{c.Producer, c.Waiter, c.Canceller, c.Caller} {
		for _, text := range texts {
			name, user, _ := strings.Cut(text, "=")
			if name != login {
				continue
			}
			if user == "" || owner != "" && owner != user {
				return ""
			}
			owner = user
		}
	}
	return owner
}

func handlersOf(names []string) string {
	text := ""
	for _, name := range names {
		text += " --handler " + name
	}
	return text
}

// queuesOf are the queues of all workers, as arguments.
func queuesOf(keys []task.Key) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.Works...)
		all = append(all, k.Into...)
	}
	slices.Sort(all)
	text := ""
	for _, q := range slices.Compact(all) {
		if q != task.DefaultQueue {
			text += " " + q
		}
	}
	return text
}
