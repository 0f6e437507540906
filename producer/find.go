package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// anyone stands for every owner, and for every queue, in a handle of an ID alone.
const anyone = "*"

// anyOwner is all owners, or the one whose jobs this client may see.
func (c *Client) anyOwner() string {
	if c.bound() {
		return c.cfg.Owner.Owner()
	}
	return anyone
}

// bound says whether the handle was made with the job, and so knows which one it is.
func (h *handle) bound() bool { return h.queue != anyone && h.owner != anyone }

// home finds out which job an ID is meant to be, as everybody may use an ID of his
// own choice: whose it is, and of which queue. Members and callbacks are where their
// outermost job is. met says that this look has met the job itself.
//
// A login that may not look everywhere, and sees nothing, gets any owner: what is asked
// next says what it may not.
func (h *handle) home(ctx context.Context) (at stream.Home, met bool, err error) {
	if h.bound() {
		return stream.Home{Queue: h.queue, Owner: h.owner}, false, nil
	}
	if known := h.found.Load(); known != nil {
		return *known, false, nil
	}
	if own, met, err := h.ownHome(ctx); own != nil {
		return *own, met, nil
	} else if err != nil {
		return stream.Home{}, false, err
	}
	homes, err := h.homes(ctx, h.owner, 2)
	switch {
	case err != nil:
		return stream.Home{}, false, err
	case homes.More:
		return stream.Home{}, false, h.crowded(h.owner)
	case len(homes.Sure) == 1:
		h.found.Store(&homes.Sure[0])
		return homes.Sure[0], task.Whole(h.id), nil
	case len(homes.Sure) > 1:
		at, err = h.among(ctx, homes.Sure)
		return at, err == nil && task.Whole(h.id), err
	case len(homes.Other) == 1: // not for good: another may come that counts
		return homes.Other[0], false, nil
	case homes.Denied != nil:
		return stream.Home{Queue: h.queue, Owner: h.owner}, false, nil
	}
	return stream.Home{}, false, noSuchJob(h.id)
}

// ownHome is where the user of ctx has a job of the ID, if they have one. It is looked for
// before all others: whatever those have put under the ID is not in the way then.
func (h *handle) ownHome(ctx context.Context) (at *stream.Home, met bool, err error) {
	user := task.UserFrom(ctx)
	if h.owner != anyone || user.Anonymous() {
		return nil, false, nil
	}
	if known := h.own.Load(); known != nil && known.Owner == user.Owner() {
		return known, false, nil
	}
	homes, err := h.homes(ctx, user.Owner(), 1)
	switch {
	case err != nil:
		return nil, false, err
	case homes.More:
		return nil, false, h.crowded(user.Owner())
	case len(homes.Sure) == 1:
		h.own.Store(&homes.Sure[0])
		return &homes.Sure[0], task.Whole(h.id), nil
	}
	return nil, false, nil
}

// homes looks for the outermost job, and for what is left of it: a member's outcome may be
// kept for longer than its batch's. What is missed by two rounds is not there.
func (h *handle) homes(ctx context.Context, owner string, rounds int) (stream.Homes, error) {
	var homes stream.Homes
	ids := []string{task.RootID(h.id)}
	if !task.Whole(h.id) {
		ids = append(ids, h.id)
	}
	for range rounds {
		for _, id := range ids {
			seen, err := h.client.broker.Homes(ctx, h.queue, owner, id)
			if err != nil {
				return seen, tell("", err)
			}
			if seen.More || len(seen.Sure) > 0 {
				return seen, nil
			}
			if len(homes.Other) == 0 {
				homes = seen
			}
		}
	}
	return homes, nil
}

// among is the one job of the user of ctx. Nobody is not asked for: a context without a
// user would be one for whoever queues as nobody.
func (h *handle) among(ctx context.Context, homes []stream.Home) (stream.Home, error) {
	user := task.UserFrom(ctx)
	owners, queues := map[string]bool{}, map[string]bool{}
	var theirs []stream.Home
	for _, at := range homes {
		owners[at.Owner], queues[at.Queue] = true, true
		if !user.Anonymous() && at.Owner == user.Owner() {
			theirs = append(theirs, at)
		}
	}
	if len(theirs) == 1 {
		return theirs[0], nil
	}
	fix := lookAsUser
	if len(theirs) > 1 || len(owners) == 1 {
		fix = lookByHandle
	}
	return stream.Home{}, fmt.Errorf("producer: job %s: %w: those of %s in %s (%s; leave IDs to natsasync, or begin them with what others cannot use)",
		task.Quote(h.id), ErrAmbiguous, plural(len(owners), "user"), plural(len(queues), "queue"), fix)
}

const (
	lookAsUser   = "look with that job's user in the context, in the command line with --as REALM:ID"
	lookByHandle = "look through the handle of Enqueue"
)

// crowded says that more lies under the ID than can be told apart.
func (h *handle) crowded(owner string) error {
	fix := lookAsUser
	if owner != anyone {
		fix = lookByHandle
	}
	return fmt.Errorf("producer: job %s: %w: more messages have it than are looked at (%s; leave IDs to natsasync, or begin them with what others cannot use)",
		task.Quote(h.id), ErrAmbiguous, fix)
}

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// record reads the outcome, nil if there is none, or no job.
func (h *handle) record(ctx context.Context) (*task.Record, error) {
	at, _, err := h.home(ctx)
	if errors.Is(err, ErrNoSuchJob) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := h.client.broker.ReadOutcome(ctx, at.Queue, at.Owner, h.id)
	if err != nil {
		return nil, tell("", err)
	}
	return r, nil
}

// outer is a handle of the whole job that this one is part of.
func (h *handle) outer() *handle {
	o := &handle{client: h.client, id: task.RootID(h.id), queue: h.queue, owner: h.owner}
	o.found.Store(h.found.Load())
	o.own.Store(h.own.Load())
	return o
}
