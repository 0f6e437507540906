package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/task"
)

// Home is where all messages and records of a job lie. Only there an ID is that of one job.
type Home struct{ Queue, Owner string }

// Homes are those under which something lies of an ID.
type Homes struct {
	Sure  []Home // with a message or a record that counts
	Other []Home // with none that does
	// More says that too much lies there to look at all of it: there may be others.
	More bool
	// Denied is the right that this login has not, and with it could have seen more.
	Denied error
}

// homesLook is how many messages are looked at under one ID, a request each. Whoever may write under an ID may write
// under it in as many queues as they can name; an honest job has a message and a dozen records.
const homesLook = 200

// errMany ends a look that has met more than homesLook.
var errMany = errors.New("more messages than are looked at")

// Homes looks for all that lies under an ID, through the leaders, in the order in which a job moves, so that one that
// moves meanwhile is met. What cannot be read, or not be proved, does not count. queue and owner may be "*". A login
// that may not ask the leaders sees the last message of each kind of place alone.
func (b *Broker) Homes(ctx context.Context, queue, owner, id string) (Homes, error) {
	var h Homes
	jobs := b.Job(queue, "*", owner, id)
	lanes := []string{jobs} // what lies beside the job in a lane that nobody made may be the last
	for _, name := range laneNames {
		lanes = append(lanes, b.Job(queue, name, owner, id))
	}
	seen := map[string]uint64{} // up to where, of each stream
	left := homesLook
	for _, at := range [...]struct {
		stream, filter string
		direct         []string // the filter, as permissions know it
	}{
		{b.Jobs(), jobs, lanes},
		{b.Later(), b.anyLater(queue, owner, id), []string{b.LaterJob(queue, owner, id), b.DueJob(queue, owner, id)}},
		{b.Jobs(), jobs, lanes}, // what a worker has moved there meanwhile
		{b.Outcomes(), b.Fence(queue, owner, id), []string{b.Fence(queue, owner, id)}},
	} {
		if h.Denied != nil && at.stream != b.Outcomes() {
			continue
		}
		upTo, err := b.each(ctx, at.stream, at.filter, at.direct, seen[at.stream], func(m *Message) error {
			if left--; left < 0 {
				return errMany
			}
			return b.sight(&h, at.stream, m)
		})
		switch {
		case err == nil:
			seen[at.stream] = upTo
		case errors.Is(err, errMany):
			h.More = true
			return h, nil
		case at.stream != b.Outcomes() && errors.Is(err, nats.ErrPermissionViolation):
			h.Denied = err
		default:
			return Homes{}, fmt.Errorf("look for the ID %s: %w", quote(id), err)
		}
	}
	return h, nil
}

// each hands the messages on a filter after a sequence to see, and returns the sequence of the last; of a login that
// may not ask the leader the last one on each of the direct filters.
//
// The last is read first and the others up to it: to find out that nothing follows the last the server would go through
// all that does.
func (b *Broker) each(ctx context.Context, stream, filter string, direct []string, after uint64, see func(*Message) error) (uint64, error) {
	last, may, err := b.lastOfLeader(ctx, stream, filter)
	if !may {
		return after, b.eachDirect(ctx, stream, direct, see)
	}
	if err != nil || last == nil {
		return after, err
	}
	for after < last.Seq {
		m, err := b.leaderGet(ctx, stream, map[string]any{"next_by_subj": filter, "seq": after + 1})
		if err != nil {
			return after, err
		}
		if m == nil || m.Seq > last.Seq { // it is gone meanwhile
			m = last
		}
		if err := see(m); err != nil {
			return after, err
		}
		after = m.Seq
	}
	return after, nil
}

func (b *Broker) eachDirect(ctx context.Context, stream string, filters []string, see func(*Message) error) error {
	for _, filter := range filters {
		m, err := b.LastDirect(ctx, stream, filter)
		if errors.Is(err, errUnreadable) {
			continue // no worker counts it
		}
		if err == nil && m != nil {
			err = see(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sight notes where a message lies. The error is that of keys that cannot be read.
func (b *Broker) sight(h *Homes, stream string, m *Message) error {
	var at Subject
	var ok bool
	var wrong error
	if stream == b.Outcomes() {
		at, ok = b.ParseOutcome(m.Subject)
		wrong = b.ReadStanding(m).Wrong
	} else {
		at, ok = b.parsePlace(m.Subject)
		wrong = b.Counts(m)
	}
	switch {
	case errors.Is(wrong, task.ErrNoKeys):
		return wrong
	case ok:
		h.add(Home{at.Queue, at.Owner}, wrong == nil)
	}
	return nil
}

func (h *Homes) add(at Home, sure bool) {
	switch i := slices.Index(h.Other, at); {
	case slices.Contains(h.Sure, at):
	case sure:
		h.Sure = append(h.Sure, at)
		if i >= 0 {
			h.Other = slices.Delete(h.Other, i, i+1)
		}
	case i < 0:
		h.Other = append(h.Other, at)
	}
}

// vouch says what speaks against the message of a job: that it cannot be read, is not that of its subject, or that who
// signed it may not queue it.
func (b *Broker) vouch(m *Message, at Subject) error {
	proof, err := b.ProveJob(m)
	if err != nil {
		return err
	}
	e, err := task.DecodeEnvelope(m.Data)
	switch {
	case err != nil:
		return err
	case e.ID != at.ID || e.Queue != at.Queue || e.User.Owner() != at.Owner:
		return fmt.Errorf("the envelope is not that of its subject %s", quote(m.Subject))
	case proof == nil:
		return nil
	}
	return proof.Job(e)
}

// anyLater matches the schedule of a job and the job whose time has come.
func (n Names) anyLater(queue, owner, id string) string {
	return n.namespace + ".*." + queue + "." + owner + "." + id
}
