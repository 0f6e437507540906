package consumer

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/natsasync/natsasync/task"
)

// ServiceName is under which workers answer `nats service ls`.
const ServiceName = "natsasync-worker"

// version is of the protocol that a worker speaks, for `nats service ls`.
const version = "1.0.0"

// serve announces the worker. The returned function takes it back.
func (w *Worker) serve() (func(), error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	trust := "broker"
	if task.KeysOf(w.cfg.Trust) != nil {
		trust = "keys"
	}
	svc, err := micro.AddService(w.broker.Conn(), micro.Config{
		Name: ServiceName, Version: version, Description: "runs jobs of natsasync",
		Metadata: map[string]string{
			"worker":      w.cfg.Name,
			"namespace":   w.broker.Namespace(),
			"queues":      strings.Join(w.cfg.Queues, ","),
			"tasks":       strings.Join(w.reg.Names(), ","),
			"concurrency": strconv.Itoa(w.cfg.Concurrency),
			"trust":       trust,
			"host":        host,
			"pid":         strconv.Itoa(os.Getpid()),
			"started":     w.broker.Now().UTC().Format(time.RFC3339),
		},
	})
	if err != nil {
		return nil, err
	}
	return func() {
		if err := svc.Stop(); err != nil {
			w.log.Debug("take back the announcement", "err", err)
		}
	}, nil
}
