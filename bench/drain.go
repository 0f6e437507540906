package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// side runs a worker on a lane of a site until it is stopped; each job that it runs is a lap.
type side func(ctx context.Context, s *site, l *laps) (stop func() error, err error)

// laps counts jobs as they run. Both sides run the same job: this.
type laps struct {
	quota       string
	want        int64
	ran         atomic.Int64
	first, last time.Time // when the first and the wanted one started
	done        chan struct{}
	failed      chan error // of capacity 1
}

func newLaps(quota string, want int) *laps {
	return &laps{quota: quota, want: int64(want), done: make(chan struct{}), failed: make(chan error, 1)}
}

// fail keeps the first thing that went wrong: the measurement is void.
func (l *laps) fail(err error) {
	if err == nil {
		return
	}
	select {
	case l.failed <- err:
	default:
	}
}

func (l *laps) err() error {
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}

func (l *laps) lap() {
	switch n := l.ran.Add(1); n {
	case 1:
		l.first = time.Now()
	case l.want:
		l.last = time.Now()
		close(l.done)
	}
}

// drained is what a drain took.
type drained struct {
	rate   float64 // jobs a second
	allocs float64 // allocations a job in this process
}

// drain has one side run want of the waiting jobs. In a lane of size 1 the clock runs from the start of the first job
// to that of the last: each of those between was recorded and acked. In others it stops when all are acked.
func (s *site) drain(ctx context.Context, by side, quota string, want int, all bool) (drained, error) {
	l := newLaps(quota, want)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, err := by(ctx, s, l)
	if err != nil {
		return drained{}, err
	}
	err = s.finish(ctx, l, all)
	runtime.ReadMemStats(&after)
	if err := errors.Join(err, stop()); err != nil {
		return drained{}, err
	}
	if all {
		if err := s.audit(ctx, want); err != nil {
			return drained{}, err
		}
	}
	d := drained{
		rate:   float64(want-1) / l.last.Sub(l.first).Seconds(),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(want),
	}
	if ran := l.ran.Load(); all && ran != int64(want) {
		return d, fmt.Errorf("%d jobs ran %d times", want, ran)
	}
	return d, nil
}

func (s *site) finish(ctx context.Context, l *laps, all bool) error {
	select {
	case <-l.done:
	case err := <-l.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%d of %d jobs have run: %w", l.ran.Load(), l.want, context.Cause(ctx))
	}
	if !all {
		return nil
	}
	if err := s.empty(ctx, l.quota); err != nil {
		return err
	}
	if l.quota == wideQuota {
		l.last = time.Now()
	}
	return nil
}

// profiled writes a CPU profile of every drain of a side.
func (g *ground) profiled(name string, by side) side {
	if g.profiles == "" {
		return by
	}
	return func(ctx context.Context, s *site, l *laps) (func() error, error) {
		g.profile++
		f, err := os.Create(filepath.Join(g.profiles, fmt.Sprintf("%s-%03d.pprof", name, g.profile)))
		if err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		stop, err := by(ctx, s, l)
		if err != nil {
			pprof.StopCPUProfile()
			return nil, errors.Join(err, f.Close())
		}
		return func() error {
			pprof.StopCPUProfile()
			return errors.Join(stop(), f.Close())
		}, nil
	}
}
