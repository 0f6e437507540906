package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

const (
	queueName = "bench"
	wideQuota = "wide"
	wideSize  = 1000
	window    = 512 // of what is published at once
)

// note is what a job takes: with user, object and the rest its envelope has some 300 bytes.
type note struct{ Title, Body string }

var (
	noop  = task.Define[note, task.None]("bench.noop", task.InQueue(queueName))
	input = note{Title: "minutes of the meeting", Body: "a hundred and some bytes stand for what a job usually carries: a few names, a number or two, a date"}
	alice = task.User{Realm: "/plone/acl_users", ID: "alice"}
)

const object = task.Object("/plone/folder/document")

// site is a server with the streams and lanes of natsasync, made by its own code for both sides.
type site struct {
	server *server
	nc     *nats.Conn // for what is not measured
	broker *stream.Broker
	signer *task.Signer // nil if nothing is signed
	trust  task.Trust
	forged int // messages with a signature that is not theirs, before each job
	conns  []*nats.Conn
	ended  int // jobs that have an outcome
}

func openSite(ctx context.Context, g *ground, synced bool) (*site, error) {
	srv, err := startServer(g.dir, g.inproc, synced)
	if err != nil {
		return nil, err
	}
	s := &site{server: srv, trust: task.TrustBroker, forged: g.forged}
	if g.signed {
		if err := s.sign(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// sign makes one key for producer and worker.
func (s *site) sign() error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	if s.signer, err = task.NewSigner(seed); err != nil {
		return err
	}
	s.trust = task.TrustKeys(task.Key{Public: s.signer.Public(), Realms: []string{alice.Realm}, Works: []string{queueName}})
	return nil
}

func (s *site) prepare(ctx context.Context) error {
	js, err := s.connect()
	if err != nil {
		return err
	}
	s.nc = js.Conn()
	if s.broker, err = stream.Open(ctx, js, stream.Config{Queues: []string{queueName}, Signer: s.signer}); err != nil {
		return err
	}
	return s.broker.SetQuota(ctx, queueName, wideQuota, wideSize)
}

// connect makes one more connection, closed with the site.
func (s *site) connect() (jetstream.JetStream, error) {
	nc, err := s.server.connect()
	if err != nil {
		return nil, err
	}
	s.conns = append(s.conns, nc)
	return jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
}

func (s *site) close() error {
	for _, nc := range s.conns {
		nc.Close()
	}
	return s.server.stop()
}

// message is a job as our producer publishes it.
func (s *site) message(quota string) (*nats.Msg, error) {
	e, err := noop.On(object, input, task.WithQuota(quota)).Spec().Seal(task.Sealing{
		Installation: s.broker.Installation(), User: alice, Now: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	return s.broker.JobMessage(e, e.User.Owner(), e.Encode(), ""), nil
}

func (s *site) messages(quota string, n int) ([]*nats.Msg, error) {
	all := make([]*nats.Msg, n)
	for i := range all {
		m, err := s.message(quota)
		if err != nil {
			return nil, err
		}
		all[i] = m
	}
	return all, nil
}

// fill queues n jobs, outside of what is measured.
func (s *site) fill(quota string, n int) error {
	slots := make(chan struct{}, window)
	wrong := make(chan error, 1)
	another := []string{""}
	for i := range n * (1 + s.forged) {
		m, err := s.message(quota)
		if err != nil {
			return err
		}
		if i%(1+s.forged) != s.forged { // a signature, but of another message
			m.Header[task.HeaderSignature] = another
		}
		another = m.Header[task.HeaderSignature]
		slots <- struct{}{}
		s.broker.PublishAsync(m, func(_ uint64, err error) {
			<-slots
			if err != nil {
				select {
				case wrong <- err:
				default:
				}
			}
		})
	}
	for range window {
		slots <- struct{}{}
	}
	select {
	case err := <-wrong:
		return fmt.Errorf("fill the queue: %w", err)
	default:
		return nil
	}
}

// empty waits until a lane holds nothing and nothing of it is out.
func (s *site) empty(ctx context.Context, quota string) error {
	for {
		c, err := s.broker.JetStream().Consumer(ctx, s.broker.Jobs(), stream.Consumer(queueName, quota))
		if err != nil {
			return err
		}
		info := c.CachedInfo()
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d jobs wait and %d are out: %w", info.NumPending, info.NumAckPending, context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
}

// audit looks whether n more jobs have left an outcome each: a side that is fast because it leaves something out must
// not win. Claims, which a slow machine makes workers write, do not count.
func (s *site) audit(ctx context.Context, n int) error {
	s.ended += n
	got, err := s.broker.Count(ctx, s.broker.Outcomes(), s.broker.OutcomeFilter("*", stream.KindSucceeded))
	if err != nil {
		return err
	}
	if got != uint64(s.ended) {
		return fmt.Errorf("%d jobs left %d outcomes", s.ended, got)
	}
	return nil
}
