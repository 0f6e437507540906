package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

var (
	ann = task.User{ID: "ann"}
	ben = task.User{ID: "ben"}
	cid = task.User{ID: "cid"}
)

func homesOf(t *testing.T, b *stream.Broker, queue, owner string) stream.Homes {
	t.Helper()
	h, err := b.Homes(t.Context(), queue, owner, "one")
	must(t, err)
	return h
}

func put(t *testing.T, b *stream.Broker, subject string, body []byte) {
	t.Helper()
	_, err := b.JetStream().Publish(t.Context(), subject, body)
	must(t, err)
}

func jobOf(t *testing.T, u task.User, queue string) []byte {
	t.Helper()
	e, err := task.Spec{Task: "a.b", Options: task.Options{ID: "one", Queue: queue, NoQuota: true}}.Seal(task.Sealing{User: u, Now: time.Now()})
	must(t, err)
	return e.Encode()
}

// inOrder compares homes as sets.
var inOrder = cmpopts.SortSlices(func(a, b stream.Home) int { return strings.Compare(a.Queue+"."+a.Owner, b.Queue+"."+b.Owner) })

func TestHomesAreAllThatAnIDHas(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q", "p")
	if h := homesOf(t, b, "*", "*"); h.Sure != nil || h.Other != nil || h.Denied != nil {
		t.Errorf("on nothing: %+v", h)
	}
	claim := (&task.Claim{ID: "one", Worker: "w", State: task.ClaimRunning}).Encode()
	for range 3 { // the records of one job lie between those of another
		put(t, b, b.Names.Outcome("q", stream.KindClaimed, ann.Owner(), "one"), claim)
		put(t, b, b.Names.Outcome("p", stream.KindClaimed, ann.Owner(), "one"), claim)
		put(t, b, b.Names.Outcome("q", stream.KindClaimed, ann.Owner(), "one.1"), claim)
	}
	put(t, b, b.Names.Outcome("q", stream.KindFailed, cid.Owner(), "one"), []byte("no record"))
	put(t, b, b.Job("q", stream.LaneFree, ben.Owner(), "one"), jobOf(t, ben, "q"))
	put(t, b, b.Job("p", stream.LaneFree, ben.Owner(), "one"), jobOf(t, ann, "p"))
	put(t, b, b.DueJob("p", ann.Owner(), "one"), jobOf(t, ann, "p"))
	put(t, b, b.LaterJob("p", cid.Owner(), "one"), jobOf(t, cid, "p"))

	for _, c := range []struct {
		queue, owner string
		want         stream.Homes
	}{
		{"*", "*", stream.Homes{
			Sure:  []stream.Home{{Queue: "q", Owner: ben.Owner()}, {Queue: "p", Owner: ann.Owner()}, {Queue: "p", Owner: cid.Owner()}, {Queue: "q", Owner: ann.Owner()}},
			Other: []stream.Home{{Queue: "p", Owner: ben.Owner()}, {Queue: "q", Owner: cid.Owner()}},
		}},
		{"*", ann.Owner(), stream.Homes{Sure: []stream.Home{{Queue: "p", Owner: ann.Owner()}, {Queue: "q", Owner: ann.Owner()}}}},
		{"q", ben.Owner(), stream.Homes{Sure: []stream.Home{{Queue: "q", Owner: ben.Owner()}}}},
	} {
		if d := cmp.Diff(c.want, homesOf(t, b, c.queue, c.owner), inOrder, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s, %s: %s", c.queue, c.owner, d)
		}
	}
}

// Who may write under an ID can do so in queues that do not exist, as many as they like.
func TestHomesAreLookedForUpToABound(t *testing.T) {
	t.Parallel()
	b := newBroker(t, "q")
	put(t, b, b.Job("q", stream.LaneFree, ben.Owner(), "one"), jobOf(t, ben, "q"))
	for i := range 300 {
		put(t, b, b.Names.Outcome(fmt.Sprintf("q%d", i), stream.KindCancelled, cid.Owner(), "one"), []byte("no record"))
	}
	if h := homesOf(t, b, "*", "*"); !h.More || len(h.Other) > 200 {
		t.Errorf("of all: more is %v, and %d were looked at", h.More, len(h.Other))
	}
	want := stream.Homes{Sure: []stream.Home{{Queue: "q", Owner: ben.Owner()}}}
	if d := cmp.Diff(want, homesOf(t, b, "*", ben.Owner()), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("of ben: %s", d)
	}
}

// What a login may not see it is told of, and what it may it sees.
func TestHomesAreThoseThatALoginMaySee(t *testing.T) {
	t.Parallel()
	login := func(name string, may ...string) *server.User {
		return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: may}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}
	}
	direct := "$JS.API.DIRECT.GET.NATSASYNC_"
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			login("admin", ">"),
			login("outcomes", "$JS.API.STREAM.MSG.GET.NATSASYNC_OUTCOMES"),
			login("ann", direct+"OUTCOMES.natsasync.outcome.*.*."+ann.Owner()+".>", direct+"JOBS.natsasync.job.*.*."+ann.Owner()+".>",
				direct+"LATER.natsasync.later.*."+ann.Owner()+".>", direct+"LATER.natsasync.due.*."+ann.Owner()+".>"),
		}
	})
	as := func(name string, cfg stream.Config) *stream.Broker {
		return open(t, connect(t, srv, nats.UserInfo(name, name)), cfg)
	}
	b := as("admin", stream.Config{Queues: []string{"q", "p", "r"}})
	put(t, b, b.Job("q", stream.LaneFree, ann.Owner(), "one"), jobOf(t, ann, "q"))
	put(t, b, b.DueJob("p", ann.Owner(), "one"), jobOf(t, ann, "p"))
	put(t, b, b.Job("q", stream.LaneFree, ben.Owner(), "one"), jobOf(t, ben, "q"))
	claim := (&task.Claim{ID: "one", Worker: "w", State: task.ClaimRunning}).Encode()
	put(t, b, b.Names.Outcome("r", stream.KindClaimed, ann.Owner(), "one"), claim)

	inR := stream.Home{Queue: "r", Owner: ann.Owner()}
	h := homesOf(t, as("outcomes", stream.Config{BindOnly: true, Installation: b.Installation()}), "*", "*")
	if d := cmp.Diff([]stream.Home{inR}, h.Sure); d != "" || h.Denied == nil {
		t.Errorf("who may read outcomes alone is denied %v and sees %s", h.Denied, d)
	}
	h = homesOf(t, as("ann", stream.Config{BindOnly: true, Installation: b.Installation(), AnyReader: true}), "*", ann.Owner())
	want := stream.Homes{Sure: []stream.Home{{Queue: "q", Owner: ann.Owner()}, {Queue: "p", Owner: ann.Owner()}, inR}}
	if d := cmp.Diff(want, h, inOrder); d != "" {
		t.Errorf("who may read her own alone sees %s", d)
	}
}
