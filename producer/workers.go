package producer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/natsasync/natsasync/internal/stream"
)

// Worker is a process that runs jobs, as it describes itself.
type Worker struct {
	ID          string // made at each start
	Name        string // as outcomes and claims name it
	Version     string
	Host        string
	PID         int
	Queues      []string
	Tasks       []string
	Concurrency int
	Trust       string // "keys" or "broker": whose word it takes for who queued a job
	Started     time.Time
}

const (
	workerService = "natsasync-worker"
	// workersAnswer within this time, or count as away.
	workersAnswer = 300 * time.Millisecond
)

// Workers asks who runs jobs of this namespace and returns, sorted by host and ID, those
// that answered within 300 ms. Who does not answer may be busy or behind an account's
// border. The error matches nats.ErrPermissionViolation if this login may not ask.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	nc := c.broker.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, tell("ask for workers", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	subject, err := micro.ControlSubject(micro.InfoVerb, workerService, "")
	if err != nil {
		return nil, tell("ask for workers", err)
	}
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, tell("ask for workers", err)
	}
	collect, cancel := context.WithTimeout(ctx, workersAnswer)
	defer cancel()
	var workers []Worker
	for {
		msg, err := sub.NextMsgWithContext(collect)
		if errors.Is(err, nats.ErrNoResponders) || ctx.Err() == nil && collect.Err() != nil {
			break
		}
		if err != nil {
			return nil, tell("ask for workers", err)
		}
		if w, ok := c.workerFrom(msg.Data); ok {
			workers = append(workers, w)
		}
	}
	if len(workers) == 0 {
		if err := c.mayAsk(ctx, subject); err != nil {
			return nil, tell("ask for workers", err)
		}
	}
	slices.SortFunc(workers, func(x, y Worker) int { return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.ID, y.ID)) })
	return workers, nil
}

// mayAsk tells nobody there from nobody asked: a denial comes on the connection, in order.
func (c *Client) mayAsk(ctx context.Context, subject string) error {
	flushed, cancel := context.WithTimeout(ctx, stream.RequestTimeout)
	defer cancel()
	if err := c.broker.Conn().FlushWithContext(flushed); err != nil {
		return err
	}
	if c.broker.Denied(subject) {
		return fmt.Errorf("this login may not, and who works is not known: %w (give it the right to publish on %q)", nats.ErrPermissionViolation, subject)
	}
	return nil
}

func (c *Client) workerFrom(data []byte) (Worker, bool) {
	var info micro.Info
	if json.Unmarshal(data, &info) != nil || info.Name != workerService {
		return Worker{}, false
	}
	if namespace := info.Metadata["namespace"]; namespace != "" && namespace != c.broker.Namespace() {
		return Worker{}, false
	}
	w := Worker{
		ID: info.ID, Name: info.Metadata["worker"], Version: info.Version, Host: info.Metadata["host"],
		Queues: list(info.Metadata["queues"]), Tasks: list(info.Metadata["tasks"]),
		Trust: info.Metadata["trust"],
	}
	w.PID, _ = strconv.Atoi(info.Metadata["pid"])
	w.Concurrency, _ = strconv.Atoi(info.Metadata["concurrency"])
	w.Started, _ = time.Parse(time.RFC3339Nano, info.Metadata["started"])
	return w, true
}

func list(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}
