package access

import (
	"slices"
	"strings"

	"github.com/natsasync/natsasync/internal/stream"
)

// Granted is what a server lets a login do.
type Granted struct{ Publish, Subscribe Subjects }

// Subjects are those that are allowed and those that are denied of them.
type Subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Has says whether a subject is among them.
func (s Subjects) Has(subject string) bool {
	return coveredBy(subject, s.Allow) && !deniedAll(subject, s.Deny)
}

// Excess is something that a login could do beyond its role.
type Excess struct {
	What    string `json:"what"`
	Subject string `json:"subject"`
	Means   string `json:"means"`
}

// power is a subject that gives its holder something.
type power struct {
	what, subject, means string
	listen               bool
}

func powers(n stream.Names, api string) []power {
	streams := []string{n.Jobs(), n.Later(), n.Outcomes(), n.Rejected()}
	all := []power{
		{"queue jobs", n.Job("q", "l", "owner", "id"), "for whoever the subject names, unless workers trust keys alone", false},
		{"queue callbacks and members", n.Job("q", "l", "owner", "id") + ".cb", "be first where a worker queues those of a job", false},
		{"put jobs off", n.LaterJob("q", "owner", "id"), "and have the server publish them at any time", false},
		{"bring jobs of later", n.DueJob("q", "owner", "id"), "as if their time had come", false},
		{"record outcomes", n.Outcome("q", stream.KindSucceeded, "owner", "id"), "end somebody's job as it likes", false},
		{"record claims", n.Outcome("q", stream.KindClaimed, "owner", "id"), "take somebody's job away from its worker", false},
		{"cancel jobs", n.Outcome("q", stream.KindCancelled, "owner", "id"), "of whoever the subject names", false},
		{"write notes", n.Note("owner", "id"), "show progress that is none", false},
		{"move the marks", n.Marks()[0], "have workers think that messages were lost, and stop", false},
		{"announce outcomes", n.Record("q", "k", "owner", "id"), "have waiters look in vain", false},
		{"queue through a gateway", n.Gateway("owner"), "for whoever the subject names", false},
		{"put messages aside", n.RejectedSubject("code"), "and push others out of the stream", false},
		{"see outcomes", n.Record("q", "k", "owner", "id"), "as they are recorded, results too", true},
		{"see jobs", n.Job("q", "l", "owner", "id"), "as they are queued, inputs too", true},
		{"see events", n.Event("q", "k", "owner", "id"), "who works on what", true},
		{"see answers to others", "_INBOX.x", "what they asked for (give each login an inbox of its own)", true},
		{"answer as JetStream", api + "STREAM.INFO." + n.Jobs(), "listen to what others ask the server", true},
	}
	for _, s := range streams {
		all = append(all,
			power{"delete " + s, api + "STREAM.DELETE." + s, "with all that is in it", false},
			power{"purge " + s, api + "STREAM.PURGE." + s, "drop what is in it", false},
			power{"change " + s, api + "STREAM.UPDATE." + s, "its subjects, limits and replicas", false},
			power{"delete messages of " + s, api + "STREAM.MSG.DELETE." + s, "drop somebody's job or outcome", false},
			power{"read " + s, api + "STREAM.MSG.GET." + s, "everybody's messages in it", false},
			power{"read " + s + " in bulk", api + "DIRECT.GET." + s, "everybody's messages in it", false},
			power{"read " + s + " by subject", api + "DIRECT.GET." + s + ".x.owner.id", "the messages of whoever the subject names", false},
			power{"look at " + s, api + "STREAM.INFO." + s, "whose jobs and which IDs are there", false},
			power{"make consumers of " + s, api + "CONSUMER.CREATE." + s + ".c.f", "and read or take what is in it", false},
			power{"delete consumers of " + s, api + "CONSUMER.DELETE." + s + ".c", "stop a lane or a handler", false},
			power{"pause consumers of " + s, api + "CONSUMER.PAUSE." + s + ".c", "stop a lane or a handler", false},
			power{"take from consumers of " + s, api + "CONSUMER.MSG.NEXT." + s + ".c", "take jobs or outcomes away from who works on them", false},
			power{"answer deliveries of " + s, ack + s + ".c.1.1.1.1.0", "ack, give back or hold what others work on", false},
		)
	}
	return all
}

// Beyond returns what a login could do that its role does not need.
func Beyond(granted Granted, needs Rights, s Scope) []Excess {
	var all []Excess
	api := s.API
	if api == "" {
		api = insideAPI
	}
	for _, p := range powers(s.Names, api) {
		if s.NoAPI && strings.HasPrefix(p.subject, api) {
			continue
		}
		has, may := granted.Publish, needs.Publish
		if p.listen {
			has, may = granted.Subscribe, needs.Subscribe
		}
		if i := slices.IndexFunc(has.Allow, func(s string) bool {
			return overlaps(s, p.subject) && !coveredBy(s, may) && !deniedAll(p.subject, has.Deny)
		}); i >= 0 {
			all = append(all, Excess{What: p.what, Subject: has.Allow[i], Means: p.means})
		}
	}
	return all
}

// overlaps says whether a subject that is allowed reaches a power. The sample of a power stands for all of its kind:
// tokens of it that are no names of ours match anything.
func overlaps(allowed, sample string) bool {
	return meets(strings.Split(allowed, "."), strings.Split(sample, "."))
}

func meets(allowed, sample []string) bool {
	for i, t := range allowed {
		if t == ">" {
			return len(sample) > i
		}
		if i >= len(sample) {
			return false
		}
		if t != "*" && t != sample[i] && !free(sample[i]) {
			return false
		}
	}
	return len(allowed) == len(sample) || free(sample[len(sample)-1]) && len(allowed) > len(sample)
}

// free says whether a token of a sample stands for any.
func free(token string) bool {
	return slices.Contains([]string{"q", "l", "k", "x", "c", "f", "owner", "id", "code", "1", "0"}, token)
}

func coveredBy(allowed string, needs []string) bool {
	return slices.ContainsFunc(needs, func(need string) bool { return need == allowed || covers(need, allowed) })
}

func deniedAll(sample string, deny []string) bool {
	return slices.ContainsFunc(deny, func(d string) bool { return covers(d, sample) })
}
