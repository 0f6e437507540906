package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// perform runs env inside this job and returns its outcome, not yet recorded: a single
// call, a batch, or what a call has continued as.
func (d *delivery) perform(env *task.Envelope, preceding *task.Record) (*task.Record, *stop) {
	switch {
	case d.continues(env.ID):
		return d.resumeContinued(env)
	case env.Mode == task.Serial:
		return d.serial(env, preceding)
	case env.Mode == task.Parallel:
		return d.parallel(env)
	}
	return d.judge(env, d.attemptAndWait(env, preceding))
}

// serial runs the members one after another inside this job, whatever their results. A
// member that has an outcome is not run again; what follows from the last finished one
// is published again.
func (d *delivery) serial(env *task.Envelope, preceding *task.Record) (*task.Record, *stop) {
	if d.claim == nil {
		c := d.amend()
		c.State = task.ClaimRunning
		if err := d.writeClaim(c); err != nil {
			return nil, d.stopOf(err)
		}
	}
	members, ids, err := decodeMembers(env)
	if err != nil {
		return d.failed(env, err, 1), nil
	}
	rec := d.outcome(env, task.Succeeded, attempted{})
	rec.Mode, rec.Members = task.Serial, ids
	ended, err := d.outcomesOf(ids)
	if err != nil {
		return nil, d.stopPutBack("read the outcomes of its members", err)
	}
	for i, m := range members {
		if done := ended[m.ID]; done != nil {
			if i+1 == len(members) || ended[members[i+1].ID] == nil {
				if s := d.followMember(m, done); s != nil {
					return nil, s
				}
			}
			continue
		}
		if s := d.member(m, preceding); s != nil {
			return nil, s
		}
	}
	rec.Ended = d.w.broker.Now()
	return rec, nil
}

// member runs one member of a serial batch and records its outcome under the fence of
// the whole job.
func (d *delivery) member(m *task.Envelope, preceding *task.Record) *stop {
	if s := d.goOn(); s != nil {
		return s
	}
	if m.After != "" {
		var err error
		if preceding, err = d.preceding(m); err != nil {
			return d.stopPutBack("read the outcome that a member follows", err)
		}
	}
	rec, s := d.perform(m, preceding)
	if s != nil {
		return s
	}
	d.complete(m, rec)
	data, header := d.encode(m, rec)
	if header == nil {
		header = make(nats.Header, 1)
	}
	// The fence does not move by it: sent a second time it would be stored a second time.
	header[nats.MsgIdHdr] = []string{task.NewID()}
	at := stream.Subject{Queue: m.Queue, Kind: string(rec.End), Owner: d.at.Owner, ID: m.ID}
	if err := d.record(at, data, header); err != nil {
		return d.stopOf(err)
	}
	return d.followMember(m, rec)
}

// goOn takes a slot for the next member, unless the batch must stop here.
func (d *delivery) goOn() *stop {
	if err := d.takeSlot(d.ctx, nil); err == nil && d.ctx.Err() == nil {
		return nil
	}
	switch cause := context.Cause(d.ctx); {
	case d.isLost() != nil:
		return stopLost
	case errors.Is(cause, task.ErrCancelled):
		return stopCancelled
	}
	return stopReturned
}

func (d *delivery) followMember(m *task.Envelope, rec *task.Record) *stop {
	ctx, done := d.bookkeeping()
	defer done()
	if err := d.follow(ctx, m, rec); err != nil {
		return d.stopPutBack("publish what follows from a member's outcome", err)
	}
	return nil
}

// parallel queues the members that have no outcome yet into the lane free, and parks
// until all have one.
func (d *delivery) parallel(env *task.Envelope) (*task.Record, *stop) {
	members, ids, err := decodeMembers(env)
	if err != nil {
		return d.failed(env, err, 1), nil
	}
	rec := d.outcome(env, task.Succeeded, attempted{})
	rec.Mode, rec.Members = task.Parallel, ids
	if len(ids) > 0 {
		_, s := d.park(waiting{
			ids: ids, under: env.ID,
			queue: func(ctx context.Context, missing map[string]bool) error {
				for i, m := range members {
					if missing[m.ID] {
						if err := d.queue(ctx, m, env.Members[i]); err != nil {
							return err
						}
					}
				}
				return nil
			},
		})
		if s != nil {
			return nil, s
		}
	}
	rec.Ended = d.w.broker.Now()
	return rec, nil
}

// decodeMembers opens what was checked when the job was taken.
func decodeMembers(env *task.Envelope) (members []*task.Envelope, ids []string, err error) {
	for i, body := range env.Members {
		m, err := task.DecodeEnvelope(body)
		if err != nil {
			return nil, nil, fmt.Errorf("member %d of %s: %w", i+1, env.ID, err)
		}
		members, ids = append(members, m), append(ids, m.ID)
	}
	return members, ids, nil
}

// outcomesOf reads which members have ended. A replica may not know of the last ones
// yet, so a job that ran before reads on through the leader from where it ends.
func (d *delivery) outcomesOf(ids []string) (map[string]*task.Record, error) {
	ended, err := d.outcomesFor(ids)
	if err != nil {
		return nil, err
	}
	if d.deliveries() == 1 && d.claim.Interruptions == 0 && len(ended) == 0 {
		return ended, nil
	}
	for _, id := range ids {
		if ended[id] != nil {
			continue
		}
		rec, err := d.outcomeOf(id)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			break
		}
		ended[id] = rec
	}
	return ended, nil
}

// preceding reads the outcome that a callback follows; nil if there is none.
func (d *delivery) preceding(m *task.Envelope) (*task.Record, error) {
	ctx, done := d.bookkeeping()
	defer done()
	return d.w.broker.ReadOutcome(ctx, m.Queue, d.at.Owner, m.After)
}
