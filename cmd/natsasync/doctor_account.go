package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/natsasync/natsasync/internal/stream"
)

// login is what the server says of whoever asks.
type login struct {
	User        string          `json:"user"`
	Account     string          `json:"account"`
	Permissions json.RawMessage `json:"permissions"`
}

// account says whether this login is in the account of the workers: a producer there can do more than its rights say.
func (d *doctor) account(ctx context.Context, workers int) {
	who, err := d.askWho(ctx)
	const means, fix = "a producer in the workers' account can have the server write where it may not itself, into outcomes too",
		"give producers an account of their own: docs/security.md"
	switch {
	case err != nil:
		d.found(finding{note, "account", "whether producers share the workers' account is not known: " + err.Error(), means, fix})
	case who.User == "":
		d.found(finding{
			note, "account", "the server asks for no login",
			"whoever reaches it can queue as any user, and write outcomes", "let only services of yours reach it, or set up logins: docs/security.md",
		})
	case workers == 0:
		d.found(finding{note, "account", fmt.Sprintf("login %s is in account %s; no worker answers there", who.User, who.Account), "", ""})
	case len(who.Permissions) > 0 && string(who.Permissions) != "null":
		d.found(finding{warning, "account", fmt.Sprintf("login %s, which has not all rights, is in account %s, as the workers are", who.User, who.Account), means, fix})
	default:
		d.found(finding{note, "account", fmt.Sprintf("login %s is in account %s, as the workers are: see that producers are not", who.User, who.Account), means, fix})
	}
}

func (d *doctor) askWho(ctx context.Context) (*login, error) {
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	msg, err := d.nc.RequestWithContext(short, "$SYS.REQ.USER.INFO", nil)
	if err != nil {
		return nil, errors.New("this login may not ask")
	}
	var answer struct {
		Data *login `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Data == nil {
		return nil, errors.New("the server's answer cannot be read")
	}
	return answer.Data, nil
}

// strays finds jobs in lanes that do not exist: only somebody who publishes by hand puts them there.
func (d *doctor) strays(ctx context.Context, queue string, lanes []stream.Lane) error {
	known := map[string]bool{stream.LaneCallbacks: true, stream.LaneLater: true}
	for _, l := range lanes {
		if l.Queue == queue {
			known[l.Name] = true
		}
	}
	found := map[string]int{}
	looked := 0
	for m, err := range d.b.Range(ctx, d.b.Jobs(), d.b.QueueFilter(queue), 0) {
		if err != nil {
			return err
		}
		if looked++; looked > jobsLooked {
			break
		}
		if at, ok := d.b.ParseJob(m.Subject); ok && !known[at.Lane] {
			found[at.Lane]++
		}
	}
	for lane, n := range found {
		d.found(finding{
			critical, "lanes", fmt.Sprintf("%d jobs are in lane %s of queue %s, which does not exist", n, lane, queue),
			"nobody runs them", fmt.Sprintf("natsasync queue quota %s %s SIZE", queue, lane),
		})
	}
	return nil
}
