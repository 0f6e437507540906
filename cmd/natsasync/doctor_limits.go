package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
)

// nearly is the share of a limit from which on it is worth a word, in percent.
const nearly = 80

var unknownLimits = finding{note, "limits", "the account's limits are not known: this login may not ask", "", ""}

// limits looks at what the account may have, and at where the streams lie.
func (d *doctor) limits(ctx context.Context) error {
	if !d.blind {
		d.ok("storage", "all streams are files, without limits of their own") // else they would have been refused
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if !d.may(ctx, d.b.APIPrefix()+"INFO") {
		d.found(unknownLimits)
		return nil
	}
	account, err := d.js.AccountInfo(short)
	if err != nil {
		d.found(unknownLimits)
		return nil
	}
	found := limitsOf(account)
	if len(found) == 0 {
		d.ok("limits", "%s of files in the account, %s", humanize.IBytes(account.Store), mostOf(account.Limits.MaxStore))
	}
	d.findings = append(d.findings, found...)
	return nil
}

// limitsOf are the limits of an account that are nearly reached.
func limitsOf(account *jetstream.AccountInfo) (all []finding) {
	for _, l := range []struct {
		what       string
		used, most int64
		means      string
	}{
		{"bytes of files", int64(account.Store), account.Limits.MaxStore, "when it is reached nothing is queued or recorded: Enqueue returns ErrQueueFull, and jobs wait for their outcomes to be stored"},
		{"consumers", int64(account.Consumers), int64(account.Limits.MaxConsumers), "when it is reached no queue, quota or durable name can be made"},
		{"streams", int64(account.Streams), int64(account.Limits.MaxStreams), "when it is reached a stream that is deleted cannot be made again"},
	} {
		if l.most <= 0 || l.used*100 < l.most*nearly {
			continue
		}
		all = append(all, finding{warning, "limits", fmt.Sprintf("the account has %d of %d %s", l.used, l.most, l.what), l.means, "raise the account's limit, or remove what is not needed: nats account info"})
	}
	return all
}

func mostOf(limit int64) string {
	if limit <= 0 {
		return "without a limit but the disk"
	}
	return "of " + humanize.IBytes(uint64(limit))
}
