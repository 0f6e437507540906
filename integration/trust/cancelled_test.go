package trust_test

import (
	"strings"
	"testing"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A cancellation that workers would not believe is refused, and takes no job away.
func TestACancellationThatNobodyBelievesTakesNoJobAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := s.producer(s.web)
	job := queue(s, web, alice, say.On("", "still there", task.InQueue("docs")))
	for name, cfg := range map[string]producer.Config{
		"unsigned":          {},
		"by a stranger":     {Signer: newSigner(t), Trust: s.trust},
		"unsigned, trusted": {Trust: s.trust},
	} {
		cfg.Logger = quiet
		c, err := producer.New(t.Context(), s.js, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Cancel(as(t.Context(), alice), job.ID()); err == nil || !strings.Contains(err.Error(), "igner") {
			t.Errorf("%s: cancel: %v", name, err)
		}
		if n, err := c.Queue("docs").Purge(as(t.Context(), alice)); err == nil || n != 0 || !strings.Contains(err.Error(), "igner") {
			t.Errorf("%s: purge: %d, %v", name, n, err)
		}
	}
	// One that a stranger signed, without looking whom they trust, changes nothing either.
	blind, err := producer.New(t.Context(), s.js, producer.Config{Signer: newSigner(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := blind.Cancel(t.Context(), job.ID()); err != nil {
			t.Fatal(err)
		}
	}
	s.work()
	if out := succeeds(s, producer.Find[string](web, job.ID())); out != "still there" {
		t.Errorf("it ended as %q", out)
	}
}
