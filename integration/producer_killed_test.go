package integration_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

func TestF06WhatAKilledProducerWasQueueingCanBeQueuedAgain(t *testing.T) {
	t.Parallel()
	const shifts = 3
	c := newCell(t)
	for shift := range shifts {
		t.Run(fmt.Sprint("shift ", shift), func(t *testing.T) {
			t.Parallel()
			c := cellOn(t, c.url, shortLease)
			for round := range rounds(30, 300) / shifts {
				name := fmt.Sprintf("producer %d.%d", shift, round)
				p := spawn(t, role{Part: "producer", Name: name, URL: c.url, History: c.history.path, Jobs: 1 << 20, One: true})
				c.history.await(t, "call", name+" job 0", 1)
				time.Sleep(rand.N(20 * time.Millisecond))
				p.kill()
				p.gone(t)
			}
			accepted := map[string]bool{}
			unknown := 0
			c.hire(fmt.Sprint("worker-", shift)).begin()
			for _, l := range c.history.read(t) {
				if l.Event == "accepted" {
					accepted[l.ID] = true
				}
			}
			for _, l := range c.history.read(t) {
				if l.Event != "call" {
					continue
				}
				if !accepted[l.ID] {
					unknown++
				}
				job, err := producer.Enqueue(task.WithUser(t.Context(), jane), c.client, do(l.Name).With(task.WithID(l.ID)))
				if err != nil {
					t.Fatal(err)
				}
				if job.ID() != l.ID {
					t.Errorf("%q was queued again as %s, not as %s", l.Name, job.ID(), l.ID)
				}
			}
			c.drained()
			if unknown == 0 {
				t.Error("no producer was killed in the act")
			}
			for _, l := range c.history.read(t) {
				if l.Event == "call" {
					c.recorded("default", l.ID)
				}
			}
		})
	}
}
