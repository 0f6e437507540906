package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestF09AServerThatIsGoneForTenMinutesAndBackLosesNothing(t *testing.T) {
	const (
		gone  = 10 * time.Minute
		lease = 30 * time.Second
	)
	inVirtualTime(t, seeds(5, 50), lease, func(w *world) {
		w.hire("first", &line{w: w})
		w.hire("second", &line{w: w})
		ids, due := map[string]string{}, map[string]time.Duration{} // by name
		var inLine []string
		add := func(name string, call task.Call[string]) { ids[name] = queue(w, call.OnDone(after)).ID() }
		for i := range 20 {
			name := fmt.Sprint("in line ", i)
			inLine = append(inLine, name)
			add(name, act.On("", chore{Name: name, Lasts: w.upTo(10 * time.Second)}))
			name = fmt.Sprint("free ", i)
			add(name, act.On("", chore{Name: name, Lasts: w.upTo(2 * time.Minute)}, task.WithoutQuota()))
			name = fmt.Sprint("later ", i)
			due[name] = time.Second + w.upTo(15*time.Minute)
			add(name, act.On("", chore{Name: name}, task.Delay(due[name])))
			name = fmt.Sprint("again ", i)
			add(name, act.On("", chore{Name: name, Fails: 1}, task.WithoutQuota(),
				task.Retry(task.Policy{Attempts: 2, Delay: time.Second + w.upTo(5*time.Minute), Aside: i%2 == 0})))
		}
		members := batch.Parallel(act.On("", chore{Name: "m1"}), act.On("", chore{Name: "m2", Lasts: 2 * time.Minute}))
		ids["batch"] = queue(w, members.With(task.WithoutQuota())).ID()

		w.passes(5*time.Second + w.upTo(time.Minute))
		w.log.take()
		left := time.Now()
		w.down()
		calls := map[string]task.Call[string]{}
		for n := range 5 {
			time.Sleep(w.upTo(time.Minute))
			name := fmt.Sprint("meanwhile ", n)
			calls[name] = act.On("", chore{Name: name}, task.WithID(task.NewID()))
			ids[name] = calls[name].Spec().Options.ID
			w.unanswered(calls[name], n%2 == 0)
		}
		time.Sleep(time.Until(left.Add(gone)))
		w.waited(gone, 3)
		back := time.Now()
		w.up()

		for name, call := range calls {
			time.Sleep(w.upTo(2 * time.Second))
			queue(w, call)
			ids[name] = call.Spec().Options.ID
		}
		ends := map[string]*task.Record{}
		for name, id := range ids {
			ends[name] = w.outcome(id, 20*time.Minute)
			if ends[name].End != task.Succeeded {
				w.Errorf("%s: it %s: %v", name, ends[name].End, ends[name].Failure)
			}
		}
		w.drained(time.Minute)
		w.ranAsOften(ends, left)
		soonest := back.Add(time.Hour)
		for name := range ids {
			for _, at := range w.started(name) {
				if at.After(back) && at.Before(soonest) {
					soonest = at
				}
			}
		}
		if waited := soonest.Sub(back); waited > 2*lease+10*time.Second {
			w.Errorf("the first function started %v after the server was back", waited)
		}
		for name, delay := range due {
			if early := delay - w.started(name)[0].Sub(w.began); early > time.Microsecond { // what the wire leaves out
				w.Errorf("%s: it started %v early", name, early)
			}
		}
		for i := 1; i < len(inLine); i++ {
			if before := ends[inLine[i-1]].Ended; w.started(inLine[i])[0].Before(before) {
				w.Errorf("%s started at %v, the one before it ended at %v", inLine[i], w.started(inLine[i])[0], before)
			}
		}
	})
}

// unanswered queues a call while the server is away: that ends in time, and says that the
// job may be there or that it is not.
func (w *world) unanswered(call task.Call[string], hurried bool) {
	w.Helper()
	ctx, most := task.WithUser(w.Context(), jane), 15*time.Second
	if hurried {
		most = 2 * time.Second
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	asked := time.Now()
	job, err := producer.Enqueue(ctx, w.client, call)
	if took := time.Since(asked); err == nil || took > most {
		w.Errorf("without a server a job was queued, or there was no answer in time: %v after %v", err, took)
	}
	if unknown := errors.Is(err, producer.ErrUnknown); unknown != (job != nil) {
		w.Errorf("the handle is %v, the error %v", job, err)
	}
}

// waited asserts that nobody was busy while the server was away: of each connection an
// attempt a second at most, no line more often than once a second, and few of them for
// people.
func (w *world) waited(long time.Duration, connections int) {
	w.Helper()
	seconds := int(long / time.Second)
	w.mu.Lock()
	dials := w.dials
	w.mu.Unlock()
	if dials == 0 || dials > connections*seconds {
		w.Errorf("%d connections were tried %d times in %v", connections, dials, long)
	}
	told := 0
	lines := w.log.take()
	for line, n := range lines {
		if n > seconds {
			w.Errorf("%q was logged %d times in %v", line, n, long)
		}
		if !strings.HasPrefix(line, "DEBUG ") && !strings.HasSuffix(line, " reassigned") { // which is said of each job
			told += n
		}
	}
	if told > 20 {
		w.Errorf("%d lines were logged in %v: %v", told, long, lines)
	}
}

// ranAsOften asserts that jobs which no outage interrupted ran as often as they had
// attempts, that those it did ran once more at most, and that each callback ran.
func (w *world) ranAsOften(ends map[string]*task.Record, left time.Time) {
	w.Helper()
	for name, end := range ends {
		if name == "batch" {
			continue
		}
		want, starts := end.Attempt, w.started(name)
		most := want
		for _, at := range starts {
			if at.Before(left) && end.Ended.After(left) {
				most = want + 1
			}
		}
		if len(starts) < want || len(starts) > most {
			w.Errorf("%s started %d times in %d attempts: %v, and ended at %v", name, len(starts), want, starts, end.Ended)
		}
		if !strings.HasPrefix(name, "meanwhile") && len(w.started("after "+end.ID)) == 0 {
			w.Errorf("the callback of %s did not run", name)
		}
	}
}
