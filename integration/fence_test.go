//go:build unix

package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
)

func TestAStorageRefusesALateWorkerByItsFence(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, srv) })
	nc, err := nats.Connect(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	kv, err := jetStreamOf(t, nc).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}

	c := newCellWithLease(t, lease)
	first, second := c.employ("first", c.url), c.hire("second")
	one := queue(c, follow(script{Name: "one", Gate: "gate", Stubborn: true, Storage: srv.URL()}))
	two := queue(c, follow(script{Name: "two", Storage: srv.URL()}))
	c.history.await(t, "start", "one", 1)
	first.freeze(t)
	second.begin()
	c.open("gate.second")
	succeeds(c, one)
	succeeds(c, two)
	first.thaw(t)
	c.open("gate.first")
	late := awaitBy(c, "end", "one", "first")
	if !strings.Contains(late.Err, "the storage refuses fence") {
		t.Errorf("the late function ended with %q", late.Err)
	}
	has, revision, err := readArticle(t.Context(), kv)
	if err != nil || has.By != "two" || revision != 2 {
		t.Errorf("the storage holds %+v at revision %d, %v; want that of two, the second write", has, revision, err)
	}
	first.awaitSaid(t, "reassigned")
	c.drained()
}
