// Package access says what each login of NATS needs for its work, and no more.
package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natsasync/natsasync/internal/stream"
)

// Role is what a login is for.
type Role string

// The roles. Workers, gateways and admins are where the streams are, all others in an account of their own: within one
// account the server's answers can be led to any subject, and it does not say who asks.
const (
	Producer  Role = "producer"  // queues jobs
	Waiter    Role = "waiter"    // waits for jobs and looks at their state
	Canceller Role = "canceller" // cancels jobs
	Watcher   Role = "watcher"   // sees everything, changes nothing
	Handler   Role = "handler"   // hears of all outcomes, under a durable name, and of events
	Operator  Role = "operator"  // watches, cancels, pauses, purges
	Worker    Role = "worker"    // runs jobs
	Admin     Role = "admin"     // may do everything
	Gateway   Role = "gateway"   // queues for others
	Caller    Role = "caller"    // queues through a gateway
)

// Roles are all roles, in the order in which they are told of.
var Roles = []Role{Producer, Waiter, Canceller, Watcher, Handler, Operator, Worker, Admin, Gateway, Caller}

// Inside says whether a login of the role is in the account of the streams: there the server publishes the answer to
// any request on the subject that its sender names, that of another request too, so whoever is in it may do anything.
func (r Role) Inside() bool { return r == Admin }

// Scope is for what a login has its role.
type Scope struct {
	Names stream.Names
	// Owner binds producers, callers, waiters and cancellers to one user, "" to none.
	Owner string
	// Queues are a worker's; Into those that its jobs may queue into beside them, and Quotas those of the queues beside
	// "default".
	Queues, Into, Quotas []string
	// Durable is a handler's name.
	Durable string
	// Inbox is what the inboxes of the login begin with.
	Inbox string
	// API is what the subjects of the JetStream API begin with, as the login sees them. Defaults to "$JS.API." where the
	// streams are and to [OutsideAPI] elsewhere: every account has a JetStream API of its own under the first.
	API string
	// NoAPI says that no JetStream API reaches the streams from there, only subjects of theirs.
	NoAPI bool
}

// OutsideAPI is what the JetStream API of the streams' account begins with in other accounts.
const OutsideAPI = "NATSASYNC.API."

// Rights are the subjects that a login may publish on and listen to.
type Rights struct {
	Publish, Subscribe []string
	// Serves are the requests that it answers. Who may ask is in another account.
	Serves []string
	// Tells are those that it may publish on whose messages are for other logins, and for no stream. They cross the border
	// from account to account: what comes into that of the streams from another goes on to no third.
	Tells []string
}

// Add joins the rights of several roles.
func (r *Rights) Add(other Rights) {
	r.Publish = join(r.Publish, other.Publish)
	r.Subscribe = join(r.Subscribe, other.Subscribe)
	r.Serves = join(r.Serves, other.Serves)
	r.Tells = join(r.Tells, other.Tells)
}

func join(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

const (
	insideAPI = "$JS.API."
	ack       = "$JS.ACK."
	userAsk   = "$SYS.REQ.USER.INFO"
	services  = "$SRV.>" // what the nats tool asks to list them
	workers   = "$SRV.INFO.natsasync-worker"
)

// Of returns what a role needs.
func Of(role Role, s Scope) Rights {
	if s.API == "" {
		s.API = OutsideAPI
		if role.Inside() {
			s.API = insideAPI
		}
	}
	n, owner, api := s.Names, s.Owner, s.API
	if owner == "" {
		owner = "*"
	}
	r := Rights{Publish: []string{userAsk}, Subscribe: []string{s.Inbox + ".>"}}
	may := func(subjects ...string) { r.Publish = join(r.Publish, subjects) }
	hears := func(subjects ...string) { r.Subscribe = join(r.Subscribe, subjects) }
	switch role {
	case Producer:
		may(n.Job("*", "*", owner, "*")) // members and callbacks, whose IDs are longer, are queued by workers
		if s.Owner == "" {
			s.counts(may)
		} else {
			may(s.keel())
		}
	case Waiter:
		s.reads(may, hears, owner)
	case Canceller:
		s.reads(may, hears, owner)
		may(n.Outcome("*", stream.KindCancelled, owner, ">"))
	case Watcher:
		s.looks(may, hears)
	case Operator:
		s.looks(may, hears)
		r.Tells = []string{n.LanesEvent("*")}
		may(r.Tells...)
		may(n.Outcome("*", stream.KindCancelled, "*", ">"), api+"CONSUMER.PAUSE."+n.Jobs()+".*",
			api+"STREAM.MSG.DELETE."+n.Jobs(), api+"STREAM.MSG.DELETE."+n.Later(), api+"STREAM.MSG.DELETE."+n.Rejected())
	case Handler:
		may(api+"STREAM.INFO."+n.Jobs(), api+"CONSUMER.INFO."+n.Outcomes()+"."+s.Durable,
			api+"CONSUMER.MSG.NEXT."+n.Outcomes()+"."+s.Durable, ack+n.Outcomes()+"."+s.Durable+".>",
			api+"STREAM.MSG.GET."+n.Outcomes())
		hears(n.Event("*", "*", "*", "*"))
	case Worker:
		s.works(may, hears)
		r.Serves = []string{services}
		for _, q := range s.Queues {
			r.Tells = append(r.Tells, n.Event(q, "*", "*", ">"))
		}
		may(r.Tells...)
	case Gateway:
		may(n.Job("*", "*", "*", "*"))
		s.counts(may)
		r.Serves = []string{n.Gateway("*"), services}
		hears(n.Gateway("*"), services)
	case Caller:
		may(n.Gateway(owner))
	case Admin:
		return Rights{Publish: []string{">"}, Subscribe: []string{">"}}
	}
	return r
}

// keel is where a login that may look at no stream learns the installation.
func (s Scope) keel() string { return s.API + "DIRECT.GET." + s.Names.Jobs() + "." + s.Names.Keel() }

type grant func(subjects ...string)

// counts is what somebody needs who looks for quotas and counts what waits, and reads no job.
func (s Scope) counts(may grant) {
	n, api := s.Names, s.API
	may(api+"STREAM.INFO."+n.Jobs(), api+"CONSUMER.INFO."+n.Jobs()+".*", api+"CONSUMER.LIST."+n.Jobs(), api+"STREAM.INFO."+n.Later())
}

// reads is the work of who waits for jobs. One who sees the jobs of one owner alone reads them by subject, from any
// replica; the leader's requests name their subject in the body, where no permission sees it.
func (s Scope) reads(may, hears grant, owner string) {
	n, api := s.Names, s.API
	hears(n.Record("*", "*", owner, ">"), n.Event("*", "*", owner, ">"))
	direct := api + "DIRECT.GET."
	if s.Owner == "" {
		may(api+"STREAM.INFO."+n.Jobs(), api+"CONSUMER.INFO."+n.Jobs()+".*", api+"STREAM.MSG.GET."+n.Jobs(),
			api+"STREAM.MSG.GET."+n.Later(), api+"STREAM.MSG.GET."+n.Outcomes(),
			direct+n.Outcomes(), direct+n.Outcomes()+".>")
		return
	}
	may(s.keel(), direct+n.Outcomes()+"."+n.Outcome("*", "*", owner, ">"), direct+n.Outcomes()+"."+n.Note(owner, ">"),
		direct+n.Jobs()+"."+n.Job("*", "*", owner, ">"),
		direct+n.Later()+"."+n.LaterJob("*", owner, ">"), direct+n.Later()+"."+n.DueJob("*", owner, ">"))
}

func (s Scope) looks(may, hears grant) {
	n, api := s.Names, s.API
	hears(n.Record("*", "*", "*", ">"), n.Event("*", "*", "*", ">"))
	for _, of := range []string{n.Jobs(), n.Later(), n.Outcomes(), n.Rejected()} {
		may(api+"STREAM.INFO."+of, api+"STREAM.MSG.GET."+of, api+"DIRECT.GET."+of, api+"DIRECT.GET."+of+".>")
	}
	may(api+"CONSUMER.LIST."+n.Jobs(), api+"CONSUMER.INFO."+n.Jobs()+".*", workers)
}

// works is the work of a worker, in its queues.
func (s Scope) works(may, hears grant) {
	n, api := s.Names, s.API
	for _, q := range s.Queues {
		may(n.QueueFilter(q), n.Outcome(q, "*", "*", ">"), n.LaterJob(q, "*", ">"), n.DueJob(q, "*", ">"))
		hears(n.Record(q, "*", "*", ">"), n.LanesEvent(q))
		for _, lane := range join([]string{stream.QuotaDefault, stream.LaneFree, stream.LaneSystem}, s.Quotas) {
			may(api+"CONSUMER.MSG.NEXT."+n.Jobs()+"."+stream.Consumer(q, lane), ack+n.Jobs()+"."+stream.Consumer(q, lane)+".>")
		}
	}
	for _, q := range s.Into {
		may(n.QueueFilter(q))
	}
	may(n.Marks()...)
	may(n.Swept())
	may(n.Note("*", ">"), n.RejectedSubject("*"),
		api+"CONSUMER.LIST."+n.Jobs(), api+"CONSUMER.INFO."+n.Jobs()+".*", api+"CONSUMER.INFO."+n.Later()+"."+stream.DueConsumer,
		api+"CONSUMER.MSG.NEXT."+n.Later()+"."+stream.DueConsumer, ack+n.Later()+"."+stream.DueConsumer+".>")
	for _, of := range []string{n.Jobs(), n.Later(), n.Outcomes(), n.Rejected()} {
		may(api+"STREAM.INFO."+of, api+"STREAM.MSG.GET."+of, api+"DIRECT.GET."+of, api+"DIRECT.GET."+of+".>")
	}
	may(api + "STREAM.MSG.DELETE." + n.Later())
	hears(services)
}

// Check says what is wrong with a scope.
func (s Scope) Check(role Role) error {
	switch {
	case !slices.Contains(Roles, role):
		names := make([]string, len(Roles))
		for i, r := range Roles {
			names[i] = string(r)
		}
		return fmt.Errorf("role %q: there is no such role (there are %s)", role, strings.Join(names, ", "))
	case role == Worker && len(s.Queues) == 0:
		return fmt.Errorf("role %q: it needs the queues that it works (give --queue)", role)
	case role == Handler && s.Durable == "":
		return fmt.Errorf("role %q: it needs its durable name (give --durable)", role)
	}
	return nil
}
