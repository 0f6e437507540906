package stream_test

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

// A leader that its cluster does not follow refuses the second copy of what it has only
// proposed. Here a subscriber says what it would.
func TestF13ARefusalOfASecondCopyIsNoProofThatThereIsAFirst(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "default")
	subject := b.Job("nobody-declared-it", stream.LaneFree, "anon", "one")
	var asked atomic.Int32
	sub, err := b.Conn().Subscribe(subject, func(m *nats.Msg) {
		answer := `{"error":{"code":500,"err_code":10077,"description":"maximum messages per subject exceeded"},"stream":"` + b.Jobs() + `","seq":0}`
		if asked.Add(1) == 3 { // the next leader
			answer = `{"stream":"` + b.Jobs() + `","seq":7}`
		}
		if err := m.Respond([]byte(answer)); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	defer func() { must(t, sub.Unsubscribe()) }()
	seq, err := b.Publish(t.Context(), &nats.Msg{Subject: subject})
	if err != nil || seq != 7 || asked.Load() != 3 {
		t.Errorf("it is stored as %d, %v, after %d tries; want 7 after 3", seq, err, asked.Load())
	}
}
