package task

import "time"

// Record is an outcome as it is stored, with what follows from it. For workers,
// cancellers and waiters.
type Record struct {
	Outcome
	Mode    Mode
	Members []string // IDs of a batch's members; whoever reads it fills in their outcomes
	// Callbacks says that callbacks follow, as the job [CallbacksID].
	Callbacks bool
	Queues    [][]byte // envelopes of the jobs that this one queued
	Envelope  []byte   // of a failed whole job, so that it can be queued again
}

// maxRecord bounds a stored record: what NATS takes by default, less its headers.
const maxRecord = 1<<20 - 16<<10

// Encode returns the record's bytes.
func (r *Record) Encode() []byte {
	return r.AppendEncode(make([]byte, 0, 256+len(r.Value)+len(r.Envelope)))
}

// AppendEncode appends the record's bytes to b.
func (r *Record) AppendEncode(b []byte) []byte {
	f := openFields(b)
	f.uint("v", Version)
	f.outcome(&r.Outcome)
	f.uint("m", uint64(r.Mode))
	f.names("ms", r.Members)
	f.bool("cb", r.Callbacks)
	f.list("fx", r.Queues)
	f.bytes("env", r.Envelope)
	return f.done()
}

func (f *fields) outcome(o *Outcome) {
	f.string("id", o.ID)
	f.string("p", o.Parent)
	f.string("t", o.Task)
	f.string("q", o.Queue)
	f.string("o", string(o.Object))
	f.user("u", o.User)
	f.string("e", string(o.End))
	f.bytes("val", o.Value)
	if o.Failure != nil {
		f.key("f")
		f.b = o.Failure.append(f.b)
	}
	f.uint("n", uint64(o.Attempt))
	f.time("qd", o.Queued)
	f.time("st", o.Started)
	f.time("en", o.Ended)
	f.string("w", o.Worker)
}

func (o *Outcome) field(f *frame, key string) uint {
	switch key {
	case "id":
		o.ID = f.string(key)
		return 2
	case "p":
		o.Parent = f.string(key)
		return 3
	case "t":
		o.Task = f.string(key)
		return 4
	case "q":
		o.Queue = f.string(key)
		return 5
	case "o":
		o.Object = Object(f.string(key))
		return 6
	case "u":
		o.User = f.user(key)
		return 7
	case "e":
		o.End = End(f.string(key))
		return 8
	case "val":
		o.Value = f.bytes(key)
		return 9
	case "f":
		o.Failure = decodeFailure(f, maxCauses+1)
		return 10
	case "n":
		o.Attempt = f.count(key)
		return 11
	case "qd":
		o.Queued = f.time(key)
		return 12
	case "st":
		o.Started = f.time(key)
		return 13
	case "en":
		o.Ended = f.time(key)
		return 14
	case "w":
		o.Worker = f.string(key)
		return 15
	}
	return 0
}

// DecodeRecord measures, scans and decodes a record. Value and the envelopes are
// slices of b. The error is a [*WireError].
func DecodeRecord(b []byte) (*Record, error) {
	f, err := openFrame(b, maxRecord)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	version := 0
	f.each(func(key string) uint {
		switch key {
		case "v":
			version = f.version()
			return 1
		case "m":
			r.Mode = Mode(f.small(key, uint32(Parallel)))
			return 20
		case "ms":
			r.Members = f.names(key, MaxCalls)
			return 21
		case "cb":
			r.Callbacks = f.bool(key)
			return 22
		case "fx":
			r.Queues = f.list(key, MaxCalls)
			return 23
		case "env":
			r.Envelope = f.bytes(key)
			return 24
		}
		return r.Outcome.field(f, key)
	})
	switch {
	case f.err != nil:
		return nil, f.err
	case version == 0:
		return nil, refuse("missing", `field "v" is missing`)
	case r.ID == "":
		return nil, refuse("missing", `field "id" is missing`)
	case r.End != Succeeded && r.End != Failed && r.End != Cancelled:
		return nil, refuse("range", `field "e": %s is no end`, Quote(string(r.End)))
	case !r.ownMembers():
		return nil, refuse("members", `field "ms": the members are not those of %s`, Quote(r.ID))
	}
	return r, nil
}

func (x *Failure) append(b []byte) []byte {
	f := openFields(b)
	f.string("c", x.Code)
	f.string("m", x.Message)
	f.string("s", x.Stack)
	f.string("t", x.Task)
	f.string("id", x.ID)
	f.uint("n", uint64(x.Attempt))
	if x.Cause != nil {
		f.key("x")
		f.b = x.Cause.append(f.b)
	}
	return f.done()
}

// decodeFailure reads one failure and its causes; Scan has bounded their depth.
func decodeFailure(f *frame, left int) *Failure {
	if left == 0 {
		f.refuse("depth", "a failure has more than %d causes", maxCauses)
		return nil
	}
	x := &Failure{}
	f.each(func(key string) uint {
		switch key {
		case "c":
			x.Code = f.string(key)
			return 1
		case "m":
			x.Message = f.string(key)
			return 2
		case "s":
			x.Stack = f.string(key)
			return 3
		case "t":
			x.Task = f.string(key)
			return 4
		case "id":
			x.ID = f.string(key)
			return 5
		case "n":
			x.Attempt = f.count(key)
			return 6
		case "x":
			x.Cause = decodeFailure(f, left-1)
			return 7
		}
		return 0
	})
	return x
}

// ClaimState says what a claim is for.
type ClaimState string

// The states of a claim. One that is running and whose worker is gone is an
// interruption; the others were closed by whoever wrote them.
const (
	ClaimRunning  ClaimState = "running"
	ClaimRetrying ClaimState = "retrying" // an attempt failed, the next one is not before NotBefore
	ClaimParked   ClaimState = "parked"   // waits for the outcomes of Parked
	ClaimReturned ClaimState = "returned" // a worker gave it back at its shutdown
	ClaimUnknown  ClaimState = "unknown"  // no worker that saw it knows its task; Seen is when that was first
)

// Claim is who runs a job and what came of it so far. A plain job that runs once has
// none. For workers.
type Claim struct {
	ID            string
	Worker        string
	State         ClaimState
	Created       time.Time // when the consumer that delivered it was made
	Delivery      uint64    // the consumer's sequence of that delivery
	Attempts      int       // that have failed
	Interruptions int
	Failure       *Failure // of the last attempt
	NotBefore     time.Time
	Due           time.Time // since when it could have run
	Seen          time.Time
	Started       time.Time
	Parked        []string
	Member        string   // the member that runs inside the job; Attempts, Failure and Continued are its
	Continued     []byte   // the envelope of the job that this one continues as
	Queues        [][]byte // envelopes of the jobs that the attempt which continued has queued
}

// Encode returns the claim's bytes.
func (c *Claim) Encode() []byte {
	f := openFields(make([]byte, 0, 256+len(c.Continued)))
	f.uint("v", Version)
	f.string("id", c.ID)
	f.string("w", c.Worker)
	f.string("s", string(c.State))
	f.time("dc", c.Created)
	f.uint("ds", c.Delivery)
	f.uint("n", uint64(c.Attempts))
	f.uint("in", uint64(c.Interruptions))
	if c.Failure != nil {
		f.key("f")
		f.b = c.Failure.append(f.b)
	}
	f.time("nb", c.NotBefore)
	f.time("due", c.Due)
	f.time("un", c.Seen)
	f.time("st", c.Started)
	f.names("pk", c.Parked)
	f.string("mb", c.Member)
	f.bytes("ct", c.Continued)
	f.list("fx", c.Queues)
	return f.done()
}

// DecodeClaim measures, scans and decodes a claim. The error is a [*WireError].
func DecodeClaim(b []byte) (*Claim, error) {
	f, err := openFrame(b, maxRecord)
	if err != nil {
		return nil, err
	}
	c := &Claim{}
	version := 0
	f.each(func(key string) uint {
		switch key {
		case "v":
			version = f.version()
			return 1
		case "id":
			c.ID = f.string(key)
			return 2
		case "w":
			c.Worker = f.string(key)
			return 3
		case "s":
			c.State = ClaimState(f.string(key))
			return 4
		case "dc":
			c.Created = f.time(key)
			return 5
		case "ds":
			c.Delivery = f.uint(key)
			return 6
		case "n":
			c.Attempts = f.count(key)
			return 7
		case "in":
			c.Interruptions = f.count(key)
			return 8
		case "f":
			c.Failure = decodeFailure(f, maxCauses+1)
			return 9
		case "nb":
			c.NotBefore = f.time(key)
			return 10
		case "due":
			c.Due = f.time(key)
			return 11
		case "un":
			c.Seen = f.time(key)
			return 12
		case "st":
			c.Started = f.time(key)
			return 13
		case "pk":
			c.Parked = f.names(key, MaxCalls)
			return 14
		case "ct":
			c.Continued = f.bytes(key)
			return 15
		case "mb":
			c.Member = f.string(key)
			return 16
		case "fx":
			c.Queues = f.list(key, MaxCalls)
			return 17
		}
		return 0
	})
	switch {
	case f.err != nil:
		return nil, f.err
	case version == 0 || c.ID == "":
		return nil, refuse("missing", `field "v" or "id" is missing`)
	}
	switch c.State {
	case ClaimRunning, ClaimRetrying, ClaimParked, ClaimReturned, ClaimUnknown:
		return c, nil
	}
	return nil, refuse("range", `field "s": %s is no state`, Quote(string(c.State)))
}
