package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/producer"
)

type doctorCmd struct {
	Monitor string `placeholder:"URL" help:"The server's monitoring address, like http://127.0.0.1:8222: it tells whether writes are synced."`
	Strict  bool   `help:"Exit 1 for warnings too."`
}

// How bad a finding is.
const (
	fine     = "ok"
	note     = "note"
	warning  = "warning"
	critical = "critical"
)

// finding is one thing that the doctor saw.
type finding struct {
	Severity string `json:"severity"`
	Check    string `json:"check"`
	Found    string `json:"found"`
	// Means is what it means for queued jobs, and Fix the command or the change that mends it; empty if all is well.
	Means string `json:"means,omitempty"`
	Fix   string `json:"fix,omitempty"`
}

// doctor collects findings.
type doctor struct {
	*session
	client   *producer.Client
	b        *stream.Broker
	findings []finding
	blind    bool // this login has not all rights
	who      *whoami
	nobody   error // why the server does not say who
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Severity: fine, Check: check, Found: fmt.Sprintf(format, args...)})
}

func (d *doctor) found(f finding) { d.findings = append(d.findings, f) }

// Run looks at everything and says what is wrong. What it cannot see is a note.
func (c doctorCmd) Run(ctx context.Context, e *environment) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	defer s.close()
	d := &doctor{session: s}
	log := &listener{}
	e.log = slog.New(log)
	d.ok("server", "nats-server %s, %s", s.nc.ConnectedServerVersion(), cmp.Or(s.nc.ConnectedClusterName(), "no cluster"))
	if err := d.examine(ctx, c.Monitor); err != nil {
		return err
	}
	d.heard(log)
	if err := s.result(d.findings, d.tell); err != nil {
		return err
	}
	worst := func(severity string) bool {
		return slices.ContainsFunc(d.findings, func(f finding) bool { return f.Severity == severity })
	}
	if worst(critical) || c.Strict && worst(warning) {
		return errSilent
	}
	return nil
}

func (d *doctor) examine(ctx context.Context, monitor string) error {
	ctx, cancel := context.WithTimeout(ctx, steps*d.connection.Timeout)
	defer cancel()
	d.syncPolicy(ctx, monitor)
	b, err := d.broker(ctx)
	if err != nil {
		d.found(finding{critical, "streams", err.Error(), "nothing can be queued or run", "see there"})
		return nil
	}
	d.b = b
	if d.client, err = d.session.client(ctx); err != nil {
		return err
	}
	for _, look := range []struct {
		at  string
		how func(context.Context) error
	}{
		{"replicas", d.streams}, {"limits", d.limits}, {"marks", d.marks}, {"keel", d.keel}, {"lanes", d.lanes}, {"jobs", d.jobs}, {"rejected", d.rejected},
	} {
		err := look.how(ctx)
		if errors.Is(err, nats.ErrPermissionViolation) {
			d.blind = true
			d.found(finding{note, look.at, "not looked at: " + err.Error(), "", "run it with the login of an operator, a watcher or the administrator"})
		} else if err != nil {
			return err
		}
	}
	return nil
}

// tell prints what was found, the worst first.
func (d *doctor) tell() error {
	rank := map[string]int{critical: 0, warning: 1, note: 2, fine: 3}
	colours := map[string]string{critical: red, warning: yellow, fine: green}
	sorted := slices.Clone(d.findings)
	slices.SortStableFunc(sorted, func(x, y finding) int { return rank[x.Severity] - rank[y.Severity] })
	for _, f := range sorted {
		if err := d.say("%s  %s: %s", d.paint(fmt.Sprintf("%-8s", f.Severity), colours[f.Severity]), f.Check, printable(f.Found)); err != nil {
			return err
		}
		for _, more := range []string{f.Means, f.Fix} {
			if more == "" {
				continue
			}
			if err := d.say("          %s", more); err != nil {
				return err
			}
		}
	}
	return nil
}

// streams looks at what all streams have in common, and at the server's clock.
func (d *doctor) streams(ctx context.Context) error {
	whole := true
	for _, name := range []string{d.b.Jobs(), d.b.Later(), d.b.Outcomes(), d.b.Rejected()} {
		asked := time.Now()
		info, err := d.b.Info(ctx, name)
		if err != nil {
			return err
		}
		whole = d.replicas(info) && whole
		if name != d.b.Jobs() || info.TimeStamp.IsZero() {
			continue
		}
		here := asked.Add(time.Since(asked) / 2)
		if off := info.TimeStamp.Sub(here).Round(time.Millisecond); off.Abs() > stream.ClockOff {
			d.found(finding{
				warning, "clock", fmt.Sprintf("the server's clock is %v off this machine's", off),
				"jobs go by the server's clock and come to no harm; a time of your own for NotBefore or Pause is off by as much", "let both follow one time server (chrony, systemd-timesyncd)",
			})
		} else {
			d.ok("clock", "the server's is %v off this machine's", off)
		}
	}
	if whole {
		d.ok("replicas", "all streams have as many as they must")
	}
	return nil
}

// replicas says whether a stream has as many copies as it must, and all are there.
func (d *doctor) replicas(info *jetstream.StreamInfo) bool {
	name, n := info.Config.Name, info.Config.Replicas
	clustered := d.nc.ConnectedClusterName() != ""
	if clustered && n < 3 {
		d.found(finding{
			warning, "replicas", fmt.Sprintf("stream %s has %d in a cluster", name, n),
			"the loss of one node may take its jobs along, and they stand still while it is away", fmt.Sprintf("nats stream edit %s --replicas 3", name),
		})
		return false
	}
	if info.Cluster != nil {
		for _, peer := range info.Cluster.Replicas {
			if peer.Offline || !peer.Current {
				d.found(lacking(peer, name))
				return false
			}
		}
	}
	return true
}

// lacking is about a node that has not all of a stream.
func lacking(peer *jetstream.PeerInfo, stream string) finding {
	f := finding{
		critical, "replicas", fmt.Sprintf("node %s of stream %s is away", peer.Name, stream),
		"the loss of one more node stops the queues", "bring the node back; nats server report jetstream",
	}
	if !peer.Offline {
		f.Found = fmt.Sprintf("node %s of stream %s is behind, or still catching up", peer.Name, stream)
		f.Fix = "look again in a minute: a copy that was just made needs a while; then nats server report jetstream"
	}
	return f
}

// marks compares how far the streams are with how far workers have seen them.
func (d *doctor) marks(ctx context.Context) error {
	if d.blind {
		d.found(finding{note, "marks", "whether a stream has lost messages is not known: not all of them can be seen", "", ""})
		return nil
	}
	err := d.b.Regressed(ctx)
	switch {
	case err == nil:
		d.ok("marks", "no stream is behind where it has been")
	case errors.Is(err, stream.ErrRegressed):
		d.found(finding{
			critical, "marks", err.Error(),
			"jobs that were accepted are gone, or outcomes of jobs that ran; workers stop and do not start", "bring a backup back, or queue again what is missing; then natsasync init --accept-loss",
		})
	default:
		d.found(finding{note, "marks", "whether a stream has lost messages is not known: " + err.Error(), "", ""})
	}
	return nil
}

func (d *doctor) keel(ctx context.Context) error {
	m, err := d.b.Last(ctx, d.b.Jobs(), d.b.Keel())
	if err != nil {
		return err
	}
	if m == nil {
		d.found(finding{
			warning, "keel", "the message that stays first in " + d.b.Jobs() + " is gone",
			"long queues become slow", "natsasync init",
		})
		return nil
	}
	d.ok("keel", "it is there")
	return nil
}

func (d *doctor) rejected(ctx context.Context) error {
	info, err := d.b.Info(ctx, d.b.Rejected())
	if err != nil {
		return err
	}
	if n := info.State.Msgs; n > 0 {
		d.found(finding{
			warning, "rejected", fmt.Sprintf("%d messages could not be read or proved and were put aside", n),
			"they do not run", "natsasync rejected ls; then natsasync rejected requeue, or natsasync rejected rm",
		})
		return nil
	}
	d.ok("rejected", "nothing was put aside")
	return nil
}
