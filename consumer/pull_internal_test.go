package consumer

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// What was on its way when its pull was withdrawn goes back at once: dropped, it would
// keep its lane until its lease is over.
func TestWhatAWithdrawnPullStillBringsGoesBack(t *testing.T) {
	t.Parallel()
	w := idleWorker(t, 1)
	lane, err := w.broker.Lane(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	p := newLanePuller(w, *lane)
	if !p.subscribe() {
		t.Fatal("no subscription")
	}
	nc := w.broker.Conn()
	reply := nc.NewInbox()
	answers, err := nc.SubscribeSync(reply)
	if err != nil {
		t.Fatal(err)
	}
	if w.slots.take(1, nil) != 1 {
		t.Fatal("no slot")
	}
	pull := &p.asks[0]
	pull.left = 2
	inbox := pull.inbox
	for range 2 { // the client withdraws the pull before the server has sent these
		if err := nc.PublishMsg(&nats.Msg{Subject: inbox, Reply: reply, Data: []byte("job")}); err != nil {
			t.Fatal(err)
		}
	}
	p.withdraw(pull)
	if p.asks[0].inbox == inbox || p.asks[0].left != 0 {
		t.Fatalf("the pull is still %+v", p.asks[0])
	}
	for range 2 {
		select {
		case m := <-p.msgs:
			p.receive(m)
		case <-time.After(time.Minute):
			t.Fatal("what was on its way was dropped")
		}
		m, err := answers.NextMsg(time.Minute)
		if err != nil {
			t.Fatalf("a message that nobody runs got no answer: %v", err)
		}
		if string(m.Data) != "-NAK" {
			t.Errorf("the answer is %q", m.Data)
		}
	}
}
