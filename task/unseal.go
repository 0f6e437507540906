package task

import "fmt"

// Call returns the call that e was made of: what a gateway seals anew for the user who
// asks. The user, the time, the installation, the parent and the IDs of calls inside are
// not part of it. The error says what is no call of a producer.
func (e *Envelope) Call() (Spec, error) {
	s, err := e.callInside()
	if err != nil {
		return Spec{}, err
	}
	if !Whole(e.ID) {
		return Spec{}, refuse("members", `field "id": %s is that of a call inside a job, which is not queued alone`, Quote(e.ID))
	}
	if e.After != "" || e.Lane == LaneCallbacks {
		return Spec{}, refuse("range", `field "a": a callback of a job that is queued already cannot be queued so`)
	}
	s.Options.ID, s.Options.Queue, s.Options.NotBefore = e.ID, e.Queue, e.NotBefore
	s.Options.StartWithin, s.Options.Keep = e.StartWithin, e.Keep
	if e.Lane == LaneFree {
		s.Options.NoQuota = true
	} else {
		s.Options.Quota = e.Lane
	}
	return s, nil
}

// callInside is the call without what only a whole job has.
func (e *Envelope) callInside() (Spec, error) {
	s := Spec{
		Task: e.Task, Object: e.Object, Input: e.Input, Mode: e.Mode, When: e.When, Take: e.Take,
		Options: Options{Timeout: e.Timeout, Retry: e.Retry},
		at:      e.Lane == LaneCallbacks, // its object is its own, whatever the job's is
	}
	for i, body := range e.Members {
		m, err := callOf(body)
		if err != nil {
			return Spec{}, fmt.Errorf("member %d: %w", i+1, err)
		}
		s.Members = append(s.Members, m)
	}
	for i, body := range e.Callbacks {
		c, err := callOf(body)
		if err != nil {
			return Spec{}, fmt.Errorf("callback %d: %w", i+1, err)
		}
		s.Callbacks = append(s.Callbacks, c)
	}
	return s, nil
}

func callOf(body []byte) (Spec, error) {
	e, err := DecodeEnvelope(body)
	if err != nil {
		return Spec{}, err
	}
	if e.Parent == "" {
		return Spec{}, refuse("missing", `field "p" is missing`)
	}
	if Whole(e.ID) {
		return Spec{}, refuse("members", `field "id": %s is that of a whole job`, Quote(e.ID))
	}
	return e.callInside()
}
