package consumer_test

import (
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

type atomicCounter struct{ atomic.Int64 }

func (c *atomicCounter) count(*nats.Msg) { c.Add(1) }
