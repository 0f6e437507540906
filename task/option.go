package task

import (
	"fmt"
	"time"
)

// MaxDuration bounds every duration and every date ahead: ten years of 365 days.
const MaxDuration = 10 * 365 * 24 * time.Hour

// Option sets one thing of a task, in [Define], or of a call. Those of the call win.
// What is wrong with an option's value is told when the call is queued.
type Option func(*Options)

// Options is what options set. Zero values mean "not set".
type Options struct {
	ID          string
	Queue       string
	Quota       string
	NoQuota     bool
	NotBefore   time.Time
	Delay       time.Duration
	StartWithin time.Duration
	Timeout     time.Duration
	Keep        time.Duration
	Retry       *Policy

	wrong error
}

// InQueue puts the job into the named queue. Defaults to "default".
func InQueue(queue string) Option {
	return func(o *Options) { o.refuse(CheckToken("queue", queue)); o.Queue = queue }
}

// WithQuota makes the job hold the named quota of its queue while it runs. Defaults
// to "default", of which every queue has one, of size 1. A job holds one quota.
func WithQuota(quota string) Option {
	return func(o *Options) {
		o.refuse(CheckToken("quota", quota))
		if o.Quota != "" && o.Quota != quota {
			o.refuse(fmt.Errorf("quota %s: the call holds %s already (a job holds one quota)", Quote(quota), Quote(o.Quota)))
		}
		if o.NoQuota {
			o.refuse(fmt.Errorf("quota %s: the call was told to hold none (leave WithoutQuota out)", Quote(quota)))
		}
		o.Quota = quota
	}
}

// WithoutQuota lets the job run beside all others: only the workers' slots limit it.
func WithoutQuota() Option {
	return func(o *Options) {
		if o.Quota != "" {
			o.refuse(fmt.Errorf("quota %s: the call was told to hold none too (leave one of both out)", Quote(o.Quota)))
		}
		o.NoQuota = true
	}
}

// WithID gives the job an ID of the caller's: letters, digits, _ and -, at most
// [MaxName] bytes. Queueing it again is safe, and makes no second job, as long as
// the job or its outcome is there.
func WithID(id string) Option {
	return func(o *Options) { o.refuse(CheckID(id)); o.ID = id }
}

// NotBefore holds the job back until t, to within half a second. A time that has
// passed means at once, behind the jobs that are queued already.
func NotBefore(t time.Time) Option {
	return func(o *Options) {
		if t.IsZero() {
			o.refuse(fmt.Errorf("not-before: the zero time is no date (leave NotBefore out)"))
		}
		o.NotBefore, o.Delay = t, 0
	}
}

// Delay holds the job back for d, counted from when it is queued.
func Delay(d time.Duration) Option {
	return func(o *Options) { o.refuse(checkDuration("delay", d, 0)); o.Delay, o.NotBefore = d, time.Time{} }
}

// StartWithin is how long after it became due a job may still start, by the
// server's clock. One that is missed fails with [ErrExpired]; retries end there too.
// A job that has started runs on.
func StartWithin(d time.Duration) Option {
	return func(o *Options) { o.refuse(checkDuration("start-within", d, time.Millisecond)); o.StartWithin = d }
}

// Timeout bounds each attempt: then its context ends with [ErrTimeout] as the cause,
// and so does the attempt if its function returns an error. Defaults to no bound.
func Timeout(d time.Duration) Option {
	return func(o *Options) { o.refuse(checkDuration("timeout", d, time.Millisecond)); o.Timeout = d }
}

// Retry sets the policy after an ordinary error. Defaults to none: it is final.
func Retry(p Policy) Option {
	return func(o *Options) { o.refuse(p.check()); o.Retry = &p }
}

// Keep shortens how long the outcome of a success is kept: 20 minutes to 8 days.
// Defaults to 8 days, which also holds for failures.
func Keep(d time.Duration) Option {
	return func(o *Options) { o.refuse(checkKeep(d)); o.Keep = d }
}

// Bounds of [Keep].
const (
	MinKeep = 20 * time.Minute
	MaxKeep = 8 * 24 * time.Hour
)

// check says what is wrong, also with options that were not set by an [Option].
func (o Options) check() error {
	if o.wrong != nil {
		return o.wrong
	}
	var c Options
	if o.ID != "" {
		c.refuse(CheckID(o.ID))
	}
	if o.Queue != "" {
		c.refuse(CheckToken("queue", o.Queue))
	}
	if o.Quota != "" {
		c.refuse(CheckToken("quota", o.Quota))
	}
	if o.Quota != "" && o.NoQuota {
		c.refuse(fmt.Errorf("quota %s: the call was told to hold none too (leave one of both out)", Quote(o.Quota)))
	}
	c.refuse(checkDuration("delay", o.Delay, 0))
	if o.StartWithin != 0 {
		c.refuse(checkDuration("start-within", o.StartWithin, time.Millisecond))
	}
	if o.Timeout != 0 {
		c.refuse(checkDuration("timeout", o.Timeout, time.Millisecond))
	}
	if o.Keep != 0 {
		c.refuse(checkKeep(o.Keep))
	}
	if o.Retry != nil {
		c.refuse(o.Retry.check())
	}
	return c.wrong
}

func (o *Options) refuse(err error) {
	if o.wrong == nil {
		o.wrong = err
	}
}

func apply(o Options, opts []Option) Options {
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// over lays o over the defaults d.
func (o Options) over(d Options) Options {
	if o.Queue == "" {
		o.Queue = d.Queue
	}
	if o.Quota == "" && !o.NoQuota {
		o.Quota, o.NoQuota = d.Quota, d.NoQuota
	}
	if o.NotBefore.IsZero() && o.Delay == 0 {
		o.NotBefore, o.Delay = d.NotBefore, d.Delay
	}
	if o.StartWithin == 0 {
		o.StartWithin = d.StartWithin
	}
	if o.Timeout == 0 {
		o.Timeout = d.Timeout
	}
	if o.Keep == 0 {
		o.Keep = d.Keep
	}
	if o.Retry == nil {
		o.Retry = d.Retry
	}
	if o.wrong == nil {
		o.wrong = d.wrong
	}
	return o
}

func checkDuration(field string, d, least time.Duration) error {
	if d < least || d > MaxDuration {
		return fmt.Errorf("%s %v: it must be %v to %v", field, d, least, MaxDuration)
	}
	return nil
}

func checkKeep(d time.Duration) error {
	if d < MinKeep || d > MaxKeep {
		return fmt.Errorf("keep %v: it must be %v to %v", d, MinKeep, MaxKeep)
	}
	return nil
}
