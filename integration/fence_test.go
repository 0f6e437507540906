//go:build unix

package integration_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/embedded"
)

func TestAStorageRefusesALateWorkerByItsFence(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(embedded.Config{Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, srv) })
	c := newCell(t)
	kv, err := jetStreamOf(t, c.dial(srv.URL())).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	first, second := c.employ("first", c.url), c.hire("second")
	one := queue(c, follow(script{Name: "one", Gate: "gate", Stubborn: true, Storage: srv.URL()}))
	two := queue(c, follow(script{Name: "two", Storage: srv.URL()}))
	c.history.await(t, "start", "one", 1)
	first.freeze(t)
	second.begin()
	c.open("gate.second")
	succeeds(c, one)
	succeeds(c, two)
	has, revision, err := readArticle(t.Context(), kv)
	if err != nil || has.By != "two" {
		t.Fatalf("the storage holds %+v, %v; want that of two", has, err)
	}
	first.thaw(t)
	c.open("gate.first")
	late := awaitBy(c, "end", "one", "first")
	if !strings.Contains(late.Err, "the storage refuses fence") {
		t.Errorf("the late function ended with %q", late.Err)
	}
	if is, now, err := readArticle(t.Context(), kv); err != nil || is != has || now != revision {
		t.Errorf("the storage holds %+v at revision %d, %v; want %+v at revision %d", is, now, err, has, revision)
	}
	first.awaitSaid(t, "reassigned")
	c.drained()
}
