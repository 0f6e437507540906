package trust_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/natsasync/natsasync/consumer"
	"github.com/natsasync/natsasync/producer"
)

// A worker's login without its key stops nobody: what it writes of lost messages is no worker's word.
func TestNobodyStopsWorkersByAMark(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	jobs, err := f.js.Stream(t.Context(), f.broker.Jobs())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{f.broker.Jobs(): map[string]any{"created": jobs.CachedInfo().Created, "seq": uint64(1) << 50}})
	if err != nil {
		t.Fatal(err)
	}
	nc := f.connect("docs")
	for _, subject := range f.broker.Marks() {
		if _, err := nc.Request(subject, body, patience); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	cfg := consumer.Config{Queues: []string{"default", "docs"}, Trust: f.trust, Signer: f.docs, BindOnly: true, Logger: quiet}
	if _, err := consumer.New(soon(t), f.login("docs"), f.registry(), cfg); err != nil {
		t.Errorf("a worker does not start after %v: %v", time.Since(began), err)
	}
	f.employ()
	succeeds(f.site, producer.Find[string](f.client("waiter"), queue(f.site, f.client("web"), alice, say.On("", "runs")).ID()))
	for _, subject := range f.broker.Marks() {
		in := f.broker.Outcomes()
		if subject == f.broker.Marks()[1] {
			in = f.broker.Later()
		}
		if m, err := f.broker.Last(t.Context(), in, subject); err != nil || string(m.Data) == string(body) {
			t.Errorf("%s is still as it was forged: %v", subject, err)
		}
	}
}
