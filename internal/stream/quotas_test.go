package stream_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
)

func TestANewSizeCountsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	for _, id := range []string{"1", "2", "3"} {
		queueJob(t, b, b.Job("mail", "default", "anon", id), id)
	}
	if got := fetch(t, b, "mail", "default", 3); len(got) != 1 {
		t.Fatalf("a lane of size 1 gives %v", got)
	}
	event, err := b.Conn().SubscribeSync(b.LanesEvent("mail"))
	must(t, err)
	must(t, b.SetQuota(t.Context(), "mail", "default", 2))
	if got := fetch(t, b, "mail", "default", 3); len(got) != 1 || got[0] != "2" {
		t.Errorf("with size 2 it gives %v besides the first", got)
	}
	if _, err := event.NextMsg(patience); err != nil {
		t.Errorf("workers were not told: %v", err)
	}
}

func TestASizeIsKeptByALaterStart(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	must(t, b.SetQuota(t.Context(), "mail", "default", 4))
	must(t, b.SetQuota(t.Context(), "mail", "smtp", 2))
	again := open(t, b.JetStream(), stream.Config{Queues: []string{"mail"}})
	for name, size := range map[string]int{"default": 4, "smtp": 2} {
		if got := lane(t, again, "mail", name); got.Size != size || got.Quota != size {
			t.Errorf("%s has size %d, noted %d, want %d", name, got.Size, got.Quota, size)
		}
	}
}

func TestTwoWhoSetAQuotaAtOnceAgreeWithWhatIsNoted(t *testing.T) {
	t.Parallel()
	b := open(t, dial(t, startChild(t)), stream.Config{Queues: []string{"mail"}})
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = b.SetQuota(t.Context(), "mail", "smtp", 10+i) })
	}
	all.Wait()
	must(t, errors.Join(errs...))
	if got := lane(t, b, "mail", "smtp"); got.Size != got.Quota || got.Size < 10 {
		t.Errorf("size %d, noted %d", got.Size, got.Quota)
	}
}

func TestPauseSurvivesANewSizeAndANewLane(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail", "docs")
	until := time.Now().Add(time.Hour)
	must(t, b.Pause(t.Context(), "mail", until))
	must(t, b.SetQuota(t.Context(), "mail", "default", 3))
	must(t, b.SetQuota(t.Context(), "mail", "smtp", 3))
	must(t, b.JetStream().DeleteConsumer(t.Context(), b.Jobs(), "mail_free"))
	must(t, b.Declare(t.Context(), "mail"))
	paused := func() map[string]bool {
		lanes, err := b.Lanes(t.Context(), "")
		must(t, err)
		got := make(map[string]bool)
		for _, l := range lanes {
			if l.Info.Paused {
				got[l.Queue+"/"+l.Name] = true
			}
		}
		return got
	}
	if got := paused(); len(got) != 3 || !got["mail/default"] || !got["mail/free"] || !got["mail/smtp"] {
		t.Errorf("paused are %v, want all of mail but system", got)
	}
	must(t, b.Resume(t.Context(), "mail"))
	if got := paused(); len(got) != 0 {
		t.Errorf("still paused: %v", got)
	}
	_, err := b.JetStream().PauseConsumer(t.Context(), b.Jobs(), "mail_smtp", until)
	must(t, err)
	must(t, b.SetQuota(t.Context(), "mail", "imap", 1))
	if got := paused(); len(got) != 1 || !got["mail/smtp"] {
		t.Errorf("after one lane was paused by hand, paused are %v", got)
	}
}

func TestPauseOfNothingIsAnError(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	if err := b.Pause(t.Context(), "mail", time.Now().Add(-time.Second)); err == nil || !strings.Contains(err.Error(), "is past") {
		t.Errorf("until the past: %v", err)
	}
	if err := b.Pause(t.Context(), "docs", time.Now().Add(time.Hour)); !errors.Is(err, stream.ErrNoSuchQueue) {
		t.Errorf("an unknown queue: %v", err)
	}
	if err := b.Resume(t.Context(), "docs"); !errors.Is(err, stream.ErrNoSuchQueue) {
		t.Errorf("an unknown queue: %v", err)
	}
}

func TestAQuotaIsRemovedOnlyWhenEmpty(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	must(t, b.SetQuota(t.Context(), "mail", "smtp", 2))
	seq := queueJob(t, b, b.Job("mail", "smtp", "anon", "1"), "")
	if err := b.SetQuota(t.Context(), "mail", "smtp", 0); err == nil || !strings.Contains(err.Error(), "it holds jobs") {
		t.Errorf("with a job in it: %v", err)
	}
	if got := lane(t, b, "mail", "smtp"); got.Size != 2 || got.Quota != 2 {
		t.Errorf("after a refusal it has size %d, noted %d", got.Size, got.Quota)
	}
	must(t, b.Delete(t.Context(), b.Jobs(), seq))
	must(t, b.SetQuota(t.Context(), "mail", "smtp", 0))
	if _, err := b.JetStream().Consumer(t.Context(), b.Jobs(), "mail_smtp"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("its consumer: %v", err)
	}
	if err := b.SetQuota(t.Context(), "mail", "smtp", 0); !errors.Is(err, stream.ErrNoSuchQuota) {
		t.Errorf("a second time: %v", err)
	}
}

func TestBadQuotasSayWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "mail")
	for _, test := range []struct {
		name string
		size int
		says string
	}{
		{"free", 3, "reserved"},
		{"callbacks", 3, "reserved"},
		{"later", 3, "reserved"},
		{"system", 3, "reserved"},
		{"a_b", 3, `(try "a-b")`},
		{"smtp", -1, "1 to 100000"},
		{"smtp", 100_001, "1 to 100000"},
		{"default", 0, "every queue keeps it"},
	} {
		if err := b.SetQuota(t.Context(), "mail", test.name, test.size); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("quota %s of size %d: got %v, want it to say %s", test.name, test.size, err, test.says)
		}
	}
	if err := b.SetQuota(t.Context(), "docs", "smtp", 1); !errors.Is(err, stream.ErrNoSuchQueue) {
		t.Errorf("a quota of an unknown queue: %v", err)
	}
}
