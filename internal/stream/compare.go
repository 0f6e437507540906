package stream

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// differences collects, by name, what is not as it must be.
type differences []string

func (d *differences) note(field string, has, wants any) {
	if fmt.Sprint(has) != fmt.Sprint(wants) {
		d.add(field, has, wants)
	}
}

func (d *differences) add(field string, has, wants any) {
	*d = append(*d, fmt.Sprintf("%s has %v, wants %v", field, has, wants))
}

// compareStream compares what matters: an operator may change replicas, placement, compression, the age of outcomes,
// the limits of rejected bytes, descriptions and metadata.
func (b *Broker) compareStream(has, want jetstream.StreamConfig) error {
	var d differences
	d.note("retention", has.Retention, want.Retention)
	d.note("storage", has.Storage, want.Storage)
	d.note("discard", has.Discard, want.Discard)
	d.note("discard_new_per_subject", has.DiscardNewPerSubject, want.DiscardNewPerSubject)
	d.note("max_msgs_per_subject", limit(has.MaxMsgsPerSubject), limit(want.MaxMsgsPerSubject))
	d.note("max_msg_size", limit(int64(has.MaxMsgSize)), limit(0))
	d.note("allow_direct", has.AllowDirect, want.AllowDirect)
	d.note("allow_atomic", has.AllowAtomicPublish, want.AllowAtomicPublish)
	d.note("allow_msg_schedules", has.AllowMsgSchedules, want.AllowMsgSchedules)
	d.note("allow_rollup_hdrs", has.AllowRollup, want.AllowRollup)
	d.note("allow_msg_ttl", has.AllowMsgTTL, want.AllowMsgTTL)
	d.note("republish", republish(has.RePublish), republish(want.RePublish))
	d.note("deny_delete", has.DenyDelete, false)
	d.note("deny_purge", has.DenyPurge, false)
	d.note("sealed", has.Sealed, false)
	d.note("no_ack", has.NoAck, false)
	d.note("mirror", has.Mirror != nil, false)
	d.note("sources", len(has.Sources), 0)
	d.note("subject_transform", has.SubjectTransform != nil, false)
	if want.Name != b.Rejected() {
		d.note("max_msgs", limit(has.MaxMsgs), limit(0))
		d.note("max_bytes", limit(has.MaxBytes), limit(0))
	}
	switch want.Name {
	case b.Jobs():
		b.compareQueues(&d, has.Subjects)
		d.note("max_age", age(has.MaxAge), age(0))
	case b.Later():
		d.note("subjects", sorted(has.Subjects), sorted(want.Subjects))
		d.note("max_age", age(has.MaxAge), age(0))
	default:
		d.note("subjects", sorted(has.Subjects), sorted(want.Subjects))
	}
	if len(d) == 0 {
		return nil
	}
	return errDiffers(fmt.Sprintf("stream %q", want.Name), d, `change it with "nats stream edit", or take another namespace`)
}

// compareQueues checks that the stream Jobs takes declared queues and nothing else.
func (b *Broker) compareQueues(d *differences, subjects []string) {
	for _, subject := range subjects {
		if subject == b.Keel() {
			continue
		}
		if _, ok := b.queueOf(subject); !ok {
			d.add("subjects", quote(subject), b.QueueFilter("<queue>")+" for each queue")
		}
	}
}

// Differs says what of a lane's consumer is not as its lane needs it, as "field has x, wants y"; empty when all is
// right. The size is compared with what SetQuota wrote down; one that nobody wrote down is right.
func (b *Broker) Differs(lane Lane) []string {
	if lane.Info == nil {
		return []string{"consumer has none, wants one"}
	}
	return b.compareConsumer(lane.Info.Config, b.laneConfig(lane.Queue, lane.Name, wantedSize(lane)))
}

func wantedSize(lane Lane) int {
	switch {
	case lane.Name == LaneFree || lane.Name == LaneSystem:
		return -1
	case lane.Quota != 0:
		return lane.Quota
	default:
		return lane.Size
	}
}

func (b *Broker) compareConsumer(has, want jetstream.ConsumerConfig) []string {
	var d differences
	d.note("ack_policy", has.AckPolicy, want.AckPolicy)
	d.note("deliver_policy", has.DeliverPolicy, want.DeliverPolicy)
	d.note("replay_policy", has.ReplayPolicy, want.ReplayPolicy)
	d.note("ack_wait", has.AckWait, want.AckWait)
	d.note("backoff", has.BackOff, want.BackOff)
	d.note("max_deliver", limit(int64(has.MaxDeliver)), limit(int64(want.MaxDeliver)))
	d.note("max_ack_pending", limit(int64(has.MaxAckPending)), limit(int64(want.MaxAckPending)))
	d.note("filters", filters(has), filters(want))
	d.note("headers_only", has.HeadersOnly, false)
	d.note("deliver_subject", has.DeliverSubject, "")
	d.note("inactive_threshold", has.InactiveThreshold, time.Duration(0))
	d.note("priority_groups", len(has.PriorityGroups), 0)
	return d
}

func filters(cfg jetstream.ConsumerConfig) []string {
	if cfg.FilterSubject != "" {
		return []string{cfg.FilterSubject}
	}
	return sorted(cfg.FilterSubjects)
}

func sorted(subjects []string) []string {
	return slices.Sorted(slices.Values(subjects))
}

func limit(n int64) string {
	if n <= 0 {
		return "no limit"
	}
	return fmt.Sprint(n)
}

func age(d time.Duration) string {
	if d == 0 {
		return "no limit"
	}
	return d.String()
}

func republish(r *jetstream.RePublish) string {
	if r == nil {
		return "none"
	}
	s := r.Source + " to " + r.Destination
	if r.HeadersOnly {
		s += " without bodies"
	}
	return strings.TrimSpace(s)
}
