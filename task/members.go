package task

import (
	"errors"
	"fmt"
	"strings"
)

// CheckCalls applies to the bytes inside a job what [Spec.Seal] makes of the calls inside a
// call: their IDs, places, queue, user and depth. It also says whether e itself is where
// its ID belongs. signed is whether every envelope must name its installation. For
// workers, before anything of the job runs. The error is a [*WireError].
func (e *Envelope) CheckCalls(signed bool) error {
	if err := e.checkPlace(); err != nil {
		return err
	}
	return e.checkInside(0, signed)
}

func (e *Envelope) checkInside(depth int, signed bool) error {
	n := 0
	for i, body := range e.Members {
		m, err := DecodeEnvelope(body)
		if err == nil {
			n++
			for e.Task == CallbackBatch && n < MaxCallbacks && m.ID != MemberID(e.ID, n) {
				n++ // one that does not run after this end
			}
			err = m.belongs(e, MemberID(e.ID, n), depth+1, signed)
		}
		if err != nil {
			return inside("member", i+1, err)
		}
	}
	for i, body := range e.Callbacks {
		c, err := DecodeEnvelope(body)
		if err == nil {
			err = c.belongs(e, MemberID(CallbacksID(e.ID), i+1), depth+1, signed)
		}
		if err != nil {
			return inside("callback", i+1, err)
		}
	}
	return nil
}

// belongs says whether e is the call of that ID inside outer.
func (e *Envelope) belongs(outer *Envelope, id string, depth int, signed bool) error {
	switch {
	case depth > MaxDepth/2:
		return refuse("depth", "calls are nested deeper than %d", MaxDepth/2)
	case e.ID != id:
		return refuse("members", `field "id": it is %s and must be %s`, Quote(e.ID), Quote(id))
	case e.Queue != outer.Queue:
		return refuse("members", `field "q": it is %s and must be %s, as that of its job`, Quote(e.Queue), Quote(outer.Queue))
	case e.User != outer.User:
		return refuse("members", `field "u": it is %s and must be %s, as that of its job`, Quote(e.User.String()), Quote(outer.User.String()))
	case e.Installation != outer.Installation && (signed || e.Installation != ""):
		return refuse("members", `field "ns": it is %s and must be %s, as that of its job`, Quote(e.Installation), Quote(outer.Installation))
	}
	if err := e.checkPlace(); err != nil {
		return err
	}
	return e.checkInside(depth, signed)
}

// checkPlace says whether parent, lane and the job that it follows are those that the ID
// tells.
func (e *Envelope) checkPlace() error {
	if Whole(e.ID) {
		switch {
		case e.Task == CallbackBatch:
			return refuse("members", `field "t": only %s is named so`, Quote(CallbacksID(e.ID)))
		case e.Lane == LaneCallbacks && e.After == "":
			return refuse("missing", `field "a" is missing`)
		case e.Lane != LaneCallbacks && e.After != "":
			return refuse("members", `field "a": only a job in the lane %s follows another`, LaneCallbacks)
		case RootID(e.After) == e.ID:
			return refuse("members", `field "a": the job would follow itself`)
		}
		return nil
	}
	dot := strings.LastIndexByte(e.ID, '.')
	parent, lane, after := e.ID[:dot], LaneFree, ""
	callbacks := e.ID[dot:] == ".cb"
	if of, ok := strings.CutSuffix(parent, ".cb"); ok {
		lane, after = LaneCallbacks, of
	}
	if callbacks {
		lane, after = LaneCallbacks, parent
	}
	switch {
	case callbacks != (e.Task == CallbackBatch):
		return refuse("members", `field "t": %s is not what %s is named`, Quote(e.Task), Quote(e.ID))
	case e.Parent != parent:
		return refuse("members", `field "p": it is %s and must be %s`, Quote(e.Parent), Quote(parent))
	case e.Lane != lane:
		return refuse("members", `field "l": it is %s and must be %s`, Quote(e.Lane), Quote(lane))
	case e.After != after:
		return refuse("members", `field "a": it is %s and must be %s`, Quote(e.After), Quote(after))
	case !e.NotBefore.IsZero() || e.StartWithin > 0 || e.Keep > 0:
		return refuse("members", `field "nb", "sw" or "kp": a call inside a job has none`)
	}
	return nil
}

// inside names the call that an error is about.
func inside(what string, n int, err error) error {
	w, ok := errors.AsType[*WireError](err)
	if !ok {
		return fmt.Errorf("%s %d: %w", what, n, err)
	}
	return &WireError{Code: w.Code, Path: w.Path, Message: fmt.Sprintf("%s %d: %s", what, n, w.Message), later: w.later}
}

// ownMembers says whether the members that a record lists are those of its own job, or of
// the one that it continued as, each once: whoever reads it reads theirs.
func (r *Record) ownMembers() bool {
	if len(r.Members) == 0 {
		return true
	}
	dot := strings.LastIndexByte(r.Members[0], '.')
	if dot < 0 {
		return false
	}
	of := r.Members[0][:dot]
	if of != r.ID && (!Whole(of) || of == RootID(r.ID)) {
		return false
	}
	n := 0
	for _, id := range r.Members {
		for n++; n <= MaxCalls && id != MemberID(of, n); {
			n++
		}
		if n > MaxCalls || CheckFullID(id) != nil {
			return false
		}
	}
	return true
}
