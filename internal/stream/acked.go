package stream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Leftover is a job whose consumer counts it as acked and that lies in its stream all the same. A server that is killed
// may remember an ack and forget the removal: seen with nats-server 2.15.
type Leftover struct {
	Subject
	Seq              uint64
	stream, consumer string
}

// AckedAndThere returns the leftovers of queues, as any replica has them: in a cluster one may be behind.
func (b *Broker) AckedAndThere(ctx context.Context, queues []string) ([]Leftover, error) {
	lanes, err := b.Lanes(ctx, "")
	if err != nil {
		return nil, err
	}
	due, err := b.consumerInfo(ctx, b.Later(), DueConsumer)
	if err != nil {
		return nil, fmt.Errorf("stream: look at consumer %q: %w", DueConsumer, err)
	}
	var all []Leftover
	for _, queue := range queues {
		some, err := b.leftovers(ctx, b.Later(), b.DueJob(queue, "*", ">"), due, b.ParseLater)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	for _, lane := range lanesOf(lanes, queues) {
		filters := lane.Info.Config.FilterSubjects
		if len(filters) == 0 {
			filters = []string{lane.Info.Config.FilterSubject}
		}
		for _, filter := range filters {
			some, err := b.leftovers(ctx, b.Jobs(), filter, lane.Info, b.ParseJob)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

func (b *Broker) leftovers(ctx context.Context, stream, filter string, consumer *jetstream.ConsumerInfo, parse func(string) (Subject, bool)) ([]Leftover, error) {
	floor := consumer.AckFloor.Stream
	if floor == 0 {
		return nil, nil
	}
	var all []Leftover
	for from := uint64(1); ; {
		page, err := b.page(ctx, stream, pageRequest{Seq: from, Next: filter, Batch: leftoverPage, MaxBytes: pageBytes})
		if err != nil {
			return nil, err
		}
		for _, m := range page.messages {
			if m.Seq > floor {
				return all, nil
			}
			if at, ok := parse(m.Subject); ok {
				all = append(all, Leftover{at, m.Seq, stream, consumer.Name})
			}
			from = m.Seq + 1
		}
		if page.pending == 0 || len(page.messages) == 0 {
			return all, nil
		}
	}
}

// leftoverPage is small: there is seldom one, and the first message behind them ends the search.
const leftoverPage = 10

// StillThere asks the leader whether a leftover is one.
func (b *Broker) StillThere(ctx context.Context, l Leftover) (bool, error) {
	m, err := b.Get(ctx, l.stream, l.Seq)
	return m != nil, err
}

// Moved says whether the job of a leftover lies in another place too, where a worker put it before the ack.
func (b *Broker) Moved(ctx context.Context, l Leftover) (bool, error) {
	for stream, filter := range map[string]string{
		b.Later(): b.anyLater(l.Queue, l.Owner, l.ID),
		b.Jobs():  b.Job(l.Queue, "*", l.Owner, l.ID),
	} {
		m, err := b.Last(ctx, stream, filter)
		if err != nil || m != nil && (stream != l.stream || m.Seq != l.Seq) {
			return err == nil, err
		}
	}
	return false, nil
}

// AckAgain acks a job by the address that its consumer would have given it. It needs no more rights than a worker has.
func (b *Broker) AckAgain(l Leftover) error {
	subject := fmt.Sprintf("$JS.ACK.%s.%s.1.%d.1.0.0", l.stream, l.consumer, l.Seq)
	if err := b.nc.Publish(subject, []byte("+ACK")); err != nil {
		return fmt.Errorf("stream: ack message %d of %q: %w", l.Seq, l.stream, err)
	}
	return nil
}
