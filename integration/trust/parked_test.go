package trust_test

import (
	"testing"
	"time"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

const places = 4

func fewPlaces(c *consumer.Config) { c.Parked, c.Concurrency = places, 4*places }

// parks waits until a job waits for others.
func (f *fort) parks(u task.User, id string) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s, err := f.broker.Standing(f.t.Context(), "default", u.Owner(), id)
		if err != nil {
			f.t.Fatal(err)
		}
		if s.Claim != nil && s.Claim.State == task.ClaimParked {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("job %s does not wait", id)
		}
	}
}

// alice adds callbacks to a job of hers that is due in years, as many as the worker lets wait. Bob's runs, and hers are
// there still.
func TestLateCallbacksOfOneUserLeavePlacesToOthers(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ(fewPlaces)
	far := queue(f.site, f.client("alice"), alice, say.On("", "far", task.Delay(9*365*24*time.Hour)))
	var hers []string
	for range places {
		cb, err := far.OnSuccess(as(t.Context(), alice), hear)
		if err != nil {
			t.Fatal(err)
		}
		f.parks(alice, cb.ID())
		hers = append(hers, cb.ID())
	}
	job := queue(f.site, f.client("bob"), bob, say.On("", "bob's"))
	succeeds(f.site, job)
	cb, err := job.OnSuccess(as(t.Context(), bob), hear)
	if err != nil {
		t.Fatal(err)
	}
	succeeds(f.site, cb)
	for _, id := range hers {
		if st, err := f.client("waiter").Status(as(t.Context(), alice), id); err != nil || st.Outcome != nil {
			t.Errorf("a callback of alice's is %+v, %v", st, err)
		}
	}
}

// The same with batches whose members take their time. One of alice's goes back for bob's, and ends like the others.
func TestBatchesOfOneUserLeavePlacesToOthers(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ(fewPlaces)
	free := func(how func(...task.Callable) task.Call[batch.Results], c task.Callable) task.Call[batch.Results] {
		return how(c).With(task.WithoutQuota())
	}
	var hers []*producer.Job[batch.Results]
	for range places {
		job := queue(f.site, f.client("alice"), alice, free(batch.Parallel, linger.On("", "hers")))
		f.parks(alice, job.ID())
		hers = append(hers, job)
	}
	succeeds(f.site, queue(f.site, f.client("bob"), bob, free(batch.Serial, say.On("", "bob's"))))
	succeeds(f.site, queue(f.site, f.client("bob"), bob, free(batch.Parallel, say.On("", "bob's"))))
	close(f.gate)
	for _, job := range hers {
		for _, o := range succeeds(f.site, job) {
			if out, err := task.Result[string](o); out != "hers" || err != nil {
				t.Errorf("a member is %q, %v", out, err)
			}
		}
	}
	if n := f.count("linger hers alice"); n != places {
		t.Errorf("%d members ran, want %d", n, places)
	}
}
