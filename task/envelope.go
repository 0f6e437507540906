package task

import (
	"fmt"
	"slices"
	"time"
)

// Version is the version of envelopes, outcomes and claims.
const Version = 1

// Envelope is a job as it travels. Members and callbacks are envelopes with IDs of
// their own that stay bytes until their turn comes. For producers and workers.
type Envelope struct {
	Installation string // of the streams it is for; "" if the producer cannot know
	ID           string
	Parent       string // the job that queued it, or that it belongs to
	After        string // of a callback: the job whose outcome it follows
	Queue, Lane  string
	User         User
	Task         string
	Object       Object
	Input        []byte // msgpack; nil is no input. A slice of what was decoded
	Mode         Mode
	When         When
	Take         Take
	Members      [][]byte
	Callbacks    [][]byte
	Issued       time.Time
	NotBefore    time.Time
	StartWithin  time.Duration
	Timeout      time.Duration
	Keep         time.Duration
	Retry        *Policy
}

// inputInline is the only kind of input there is so far: the bytes themselves.
const inputInline = 0

// Encode returns the envelope's bytes. The same envelope gives the same bytes.
func (e *Envelope) Encode() []byte { return e.AppendEncode(make([]byte, 0, e.size())) }

// size is an upper bound of the encoded size that is close for what is large.
func (e *Envelope) size() int {
	n := 192 + len(e.Installation) + len(e.ID) + len(e.Parent) + len(e.After) + len(e.Queue) + len(e.Lane) +
		len(e.User.Realm) + len(e.User.ID) + len(e.Task) + len(e.Object) + len(e.Input)
	for _, all := range [...][][]byte{e.Members, e.Callbacks} {
		for _, b := range all {
			n += len(b) + 5
		}
	}
	return n
}

// AppendEncode appends the envelope's bytes to b.
func (e *Envelope) AppendEncode(b []byte) []byte {
	f := openFields(b)
	f.uint("v", Version)
	f.string("ns", e.Installation)
	f.string("id", e.ID)
	f.string("p", e.Parent)
	f.string("a", e.After)
	f.string("q", e.Queue)
	f.string("l", e.Lane)
	f.user("u", e.User)
	f.string("t", e.Task)
	f.string("o", string(e.Object))
	if e.Input != nil {
		f.key("i")
		f.b = appendBytes(appendUint(appendArray(f.b, 2), inputInline), e.Input)
	}
	f.uint("m", uint64(e.Mode))
	f.uint("w", uint64(e.When))
	f.uint("k", uint64(e.Take))
	f.list("ms", e.Members)
	f.list("cb", e.Callbacks)
	f.time("at", e.Issued)
	f.time("nb", e.NotBefore)
	f.uint("sw", uint64(e.StartWithin.Microseconds()))
	f.uint("to", uint64(e.Timeout.Microseconds()))
	f.uint("kp", uint64(e.Keep.Microseconds()))
	if p := e.Retry; p != nil {
		f.key("r")
		f.b = appendUint(appendArray(f.b, 4), uint64(p.Attempts))
		f.b = appendDuration(appendDuration(f.b, p.Delay), p.MaxDelay)
		f.b = appendBool(f.b, p.Aside)
	}
	return f.done()
}

// DecodeEnvelope measures, scans and decodes an envelope. Input, members and
// callbacks are slices of b. The error is a [*WireError]; [Later] tells an envelope of a
// version that this package does not know yet.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	f, err := openFrame(b, MaxEnvelope)
	if err != nil {
		return nil, err
	}
	e := &Envelope{}
	version := 0
	f.each(func(key string) uint {
		switch key {
		case "v":
			version = f.version()
			return 1
		case "ns":
			e.Installation = f.string(key)
			return 2
		case "id":
			e.ID = f.string(key)
			return 3
		case "p":
			e.Parent = f.string(key)
			return 4
		case "a":
			e.After = f.string(key)
			return 5
		case "q":
			e.Queue = f.string(key)
			return 6
		case "l":
			e.Lane = f.string(key)
			return 7
		case "u":
			e.User = f.user(key)
			return 8
		case "t":
			e.Task = f.string(key)
			return 9
		case "o":
			e.Object = Object(f.string(key))
			return 10
		case "i":
			e.Input = f.input(key)
			return 11
		case "m":
			e.Mode = Mode(f.small(key, uint32(Parallel)))
			return 12
		case "w":
			e.When = When(f.small(key, uint32(WhenDone)))
			return 13
		case "k":
			e.Take = Take(f.small(key, uint32(TakeOutcome)))
			return 14
		case "ms":
			e.Members = f.list(key, MaxCalls)
			return 15
		case "cb":
			e.Callbacks = f.list(key, MaxCallbacks)
			return 16
		case "at":
			e.Issued = f.time(key)
			return 17
		case "nb":
			e.NotBefore = f.time(key)
			return 18
		case "sw":
			e.StartWithin = f.duration(key)
			return 19
		case "to":
			e.Timeout = f.duration(key)
			return 20
		case "kp":
			e.Keep = f.duration(key)
			return 21
		case "r":
			e.Retry = f.policy(key)
			return 22
		}
		return 0
	})
	if f.err != nil {
		return nil, f.err
	}
	if version == 0 {
		return nil, refuse("missing", `field "v" is missing`)
	}
	return e, e.check()
}

func (f *frame) version() int {
	v := f.uint("v")
	if f.err == nil && v != Version {
		f.err = &WireError{Code: "version", Message: fmt.Sprintf("version %d is unknown; this is version %d", v, Version), later: v > Version}
	}
	return int(v)
}

func (f *frame) input(field string) []byte {
	f.arrayOf(field, 2)
	if k := f.uint(field); f.err == nil && k != inputInline {
		f.err = &WireError{Code: "version", Message: fmt.Sprintf("field %q: inputs of kind %d are unknown", field, k), later: true}
	}
	in := f.bytes(field)
	if f.err == nil && len(in) == 0 {
		f.refuse("empty", "field %q has no bytes", field)
	}
	return in
}

func (f *frame) policy(field string) *Policy {
	f.arrayOf(field, 4)
	p := &Policy{Attempts: f.small(field, maxAttempts), Delay: f.duration(field), MaxDelay: f.duration(field), Aside: f.bool(field)}
	if f.err == nil {
		if err := p.check(); err != nil {
			f.refuse("range", "%v", err)
		}
	}
	return p
}

// check applies to bytes what [Spec.Seal] applies to calls.
func (e *Envelope) check() error {
	for _, required := range [...]struct{ field, value string }{{"id", e.ID}, {"q", e.Queue}, {"l", e.Lane}, {"t", e.Task}} {
		if required.value == "" {
			return refuse("missing", "field %q is missing", required.field)
		}
	}
	if e.Issued.IsZero() {
		return refuse("missing", `field "at" is missing`)
	}
	o := Options{StartWithin: e.StartWithin, Timeout: e.Timeout, Keep: e.Keep}
	if err := o.check(); err != nil {
		return refuse("range", "%v", err)
	}
	s := Spec{Task: e.Task, Mode: e.Mode}
	if len(e.Members) > 0 {
		s.Members = []Spec{{}}
	}
	errs := []error{CheckFullID(e.ID), CheckToken("queue", e.Queue), CheckToken("lane", e.Lane), s.checkName(), e.Object.check()}
	for _, id := range [...]string{e.Parent, e.After} {
		if id != "" {
			errs = append(errs, CheckFullID(id))
		}
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return refuse("name", "%v", errs[i])
	}
	return nil
}
