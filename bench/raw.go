package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
)

const (
	rawPull = 500     // of the wide lane: at most twice as many are asked for
	rawLook = 256     // jobs whose outcomes are looked for in one read
	rawRing = 1 << 12 // more than can be out at once
)

// rawWorker is a worker of one lane by somebody who knows NATS well: pull, look whether the job has an outcome, run it,
// record its outcome under a fence, ack once that is stored. Nothing waits: each step is taken by the handler of the
// answer to the one before.
type rawWorker struct {
	nc      *nats.Conn
	laps    *laps
	pull    string // subject of pull requests
	get     string // subject of direct reads
	outcome string // subject of outcomes up to the queue
	inbox   string
	body    []byte // of every outcome
	msgs    chan *nats.Msg
	looks   chan struct{} // a place for each read that is under way
	quit    chan struct{}
	ended   chan struct{}
	subs    []*nats.Subscription
	jobs    [rawRing]rawJob
	next    int // number of the next job
}

type rawJob struct{ ack, fence, name string }

func startRaw(_ context.Context, s *site, l *laps) (func() error, error) {
	js, err := s.connect()
	if err != nil {
		return nil, err
	}
	body, err := outcomeBody(s, l.quota)
	if err != nil {
		return nil, err
	}
	b := s.broker
	w := &rawWorker{
		nc: js.Conn(), laps: l, body: body, inbox: nats.NewInbox(),
		pull:    b.APIPrefix() + "CONSUMER.MSG.NEXT." + b.Jobs() + "." + stream.Consumer(queueName, l.quota),
		get:     b.APIPrefix() + "DIRECT.GET." + b.Outcomes(),
		outcome: b.Namespace() + ".outcome." + queueName + ".",
		msgs:    make(chan *nats.Msg, rawRing),
		looks:   make(chan struct{}, 2),
		quit:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	if err := w.start(l.quota == wideQuota); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w.stop, nil
}

func (w *rawWorker) start(wide bool) error {
	for token, fn := range map[string]nats.MsgHandler{".look.*.*": w.looked, ".stored.*": w.stored} {
		sub, err := w.nc.Subscribe(w.inbox+token, fn)
		if err != nil {
			return err
		}
		w.subs = append(w.subs, sub)
	}
	if !wide {
		close(w.ended)
		sub, err := w.nc.Subscribe(w.inbox+".job", w.takeOne)
		if err != nil {
			return err
		}
		w.subs = append(w.subs, sub)
		return w.ask(1)
	}
	sub, err := w.nc.ChanSubscribe(w.inbox+".job", w.msgs)
	if err != nil {
		return err
	}
	w.subs = append(w.subs, sub)
	go w.takeMany()
	return nil
}

func (w *rawWorker) stop() error {
	for _, sub := range w.subs {
		if err := sub.Unsubscribe(); err != nil {
			w.fail(err)
		}
	}
	close(w.quit)
	<-w.ended
	return w.laps.err()
}

func (w *rawWorker) fail(err error) { w.laps.fail(err) }

func (w *rawWorker) ask(n int) error {
	return w.nc.PublishRequest(w.pull, w.inbox+".job", []byte(`{"expires":300000000000,"batch":`+strconv.Itoa(n)+`}`))
}

// receive notes a job and returns its number.
func (w *rawWorker) receive(m *nats.Msg) (int, bool) {
	if m.Reply == "" {
		w.fail(fmt.Errorf("pull: status %s", m.Header.Get("Status")))
		return 0, false
	}
	owner, id, ok := ownerAndID(m.Subject)
	if !ok {
		w.fail(fmt.Errorf("a job on %q", m.Subject))
		return 0, false
	}
	n := w.next
	w.next++
	name := owner + "." + id
	w.jobs[n%rawRing] = rawJob{ack: m.Reply, fence: w.outcome + "*." + name, name: name}
	return n, true
}

// takeOne serves the lane of size 1: the next pull stands before this job is acked.
func (w *rawWorker) takeOne(m *nats.Msg) {
	n, ok := w.receive(m)
	if !ok {
		return
	}
	w.fail(w.ask(1))
	w.fail(w.nc.PublishRequest(w.get+"."+w.jobs[n%rawRing].fence, w.lookInbox(n, n+1), nil))
}

// takeMany serves the wide lane: it keeps enough asked for, and looks for what has come meanwhile in one read.
func (w *rawWorker) takeMany() {
	defer close(w.ended)
	asked := 0
	var request []byte
	for {
		for ; asked <= rawPull; asked += rawPull {
			w.fail(w.ask(rawPull))
		}
		var m *nats.Msg
		select {
		case m = <-w.msgs:
		case <-w.quit:
			return
		}
		select {
		case w.looks <- struct{}{}:
		case <-w.quit:
			return
		}
		from := w.next
		request = append(request[:0], `{"multi_last":[`...)
		for more := true; more; {
			asked--
			n, ok := w.receive(m)
			if !ok {
				return
			}
			request = append(request, '"')
			request = append(request, w.jobs[n%rawRing].fence...)
			request = append(request, `",`...)
			if more = w.next-from < rawLook; more {
				select {
				case m = <-w.msgs:
				default:
					more = false
				}
			}
		}
		request = append(request[:len(request)-1], `],"batch":`...)
		request = append(strconv.AppendInt(request, int64(2*(w.next-from)), 10), '}')
		w.fail(w.nc.PublishRequest(w.get, w.lookInbox(from, w.next), request))
	}
}

func (w *rawWorker) lookInbox(from, to int) string {
	return w.inbox + ".look." + strconv.Itoa(from) + "." + strconv.Itoa(to)
}

// looked runs the jobs of a read that found nothing, and records their outcomes.
func (w *rawWorker) looked(m *nats.Msg) {
	if m.Header.Get("Status") != "404" {
		w.fail(fmt.Errorf("look: status %q, want 404: a job was run before", m.Header.Get("Status")))
		return
	}
	if w.laps.quota == wideQuota {
		<-w.looks
	}
	first, last, _ := strings.Cut(m.Subject[len(w.inbox)+len(".look."):], ".")
	from, err := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err := errors.Join(err, err2); err != nil {
		w.fail(err)
		return
	}
	for n := from; n < to; n++ {
		w.laps.lap()
		j := &w.jobs[n%rawRing]
		w.fail(w.nc.PublishMsg(&nats.Msg{
			Subject: w.outcome + "succeeded." + j.name,
			Reply:   w.inbox + ".stored." + strconv.Itoa(n),
			Header: nats.Header{
				"Nats-Expected-Last-Subject-Sequence":         {"0"},
				"Nats-Expected-Last-Subject-Sequence-Subject": {j.fence},
			},
			Data: w.body,
		}))
	}
}

// stored acks a job whose outcome is there.
func (w *rawWorker) stored(m *nats.Msg) {
	n, err := strconv.Atoi(m.Subject[len(w.inbox)+len(".stored."):])
	if err != nil || !bytes.Contains(m.Data, []byte(`"seq":`)) || bytes.Contains(m.Data, []byte(`"error"`)) {
		w.fail(fmt.Errorf("record an outcome: %s", m.Data))
		return
	}
	w.fail(w.nc.Publish(w.jobs[n%rawRing].ack, []byte("+ACK")))
}

// ownerAndID takes apart namespace.job.queue.lane.owner.id.
func ownerAndID(subject string) (owner, id string, ok bool) {
	rest := subject
	for range 4 {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return "", "", false
		}
	}
	return strings.Cut(rest, ".")
}
