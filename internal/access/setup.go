package access

import (
	"slices"
	"strings"
)

// Login is somebody who logs in with an nkey.
type Login struct {
	Name   string
	Public string
	Rights Rights
	Inside bool // in the account of the streams
}

// Setup is a NATS server's accounts and logins: the account of the streams, and one of its own for each login outside.
//
// The server publishes the answer to a request on the subject that its sender names, and no right of the sender's limits
// that: what the account imports does. So an account imports no more than its one login may ask for by itself.
type Setup struct {
	Streams string // the name of the account of the streams
	Logins  []Login
}

// NewSetup returns a setup of logins.
func NewSetup(logins ...Login) Setup {
	return Setup{Streams: "NATSASYNC", Logins: logins}
}

// account is one of the setup, with what crosses its border.
type account struct {
	name    string
	logins  []Login
	imports []crossing
	exports []export
}

// crossing is what an account imports.
type crossing struct {
	from    string // the name of the account
	subject string // there
	local   string // here
	stream  bool   // messages come of themselves, not as answers
	within  string // what is exported for it
}

// export is what an account lets others import.
type export struct {
	subject string
	stream  bool
	to      []string // the names of the accounts
}

// many says whether the answer to a request of a service is more than one message.
func (e export) many() bool {
	return strings.Contains(e.subject, ".MSG.NEXT.") || strings.Contains(e.subject, ".DIRECT.GET.") || strings.HasPrefix(e.subject, "$SRV.")
}

// accounts are all accounts, that of the streams first.
func (s Setup) accounts() []account {
	all := []account{{name: s.Streams}}
	for _, l := range s.Logins {
		if l.Inside {
			all[0].logins = append(all[0].logins, l)
		} else {
			all = append(all, account{name: l.Name, logins: []Login{l}})
		}
	}
	for i := range all {
		for _, l := range all[i].logins {
			all[i].imports = append(all[i].imports, s.imports(l)...)
		}
		all[i].imports = withoutCovered(all[i].imports)
	}
	for i := range all {
		all[i].exports = exportsOf(all[i].name, all)
	}
	return all
}

// imports are what the rights of a login need from other accounts.
func (s Setup) imports(l Login) []crossing {
	all := s.hearing(l)
	asks := l.Rights.Publish
	if l.Inside {
		asks = []string{services}
	}
	for _, subject := range asks {
		served := false
		for _, other := range s.Logins {
			if other.Name != l.Name && coversAny(other.Rights.Serves, subject) && !mutual(l, other, subject) {
				all = append(all, crossing{from: other.Name, subject: subject, local: subject, within: subject})
				served = true
			}
		}
		if l.Inside || served || strings.HasPrefix(subject, "$S") || slices.Contains(l.Rights.Tells, subject) {
			continue
		}
		there := subject
		if rest, ok := strings.CutPrefix(subject, OutsideAPI); ok {
			there = insideAPI + rest
		}
		all = append(all, crossing{from: s.Streams, subject: there, local: subject, within: there})
	}
	return all
}

// hearing is what comes to a login of itself: from the account of the streams, and from each login that tells something.
func (s Setup) hearing(l Login) []crossing {
	var all []crossing
	for _, subject := range l.Rights.Subscribe {
		serves := slices.ContainsFunc(l.Rights.Serves, func(s string) bool { return covers(subject, s) })
		if serves || strings.HasPrefix(subject, "_INBOX") {
			continue
		}
		if !l.Inside && !meetsAny(l.Rights.Tells, subject) {
			all = append(all, crossing{from: s.Streams, subject: subject, local: subject, stream: true, within: subject})
		}
		for _, other := range s.Logins {
			for _, told := range other.Rights.Tells {
				part, ok := common(told, subject)
				if ok && other.Name != l.Name && !circle(l, other, part) {
					all = append(all, crossing{from: other.Name, subject: part, local: part, stream: true, within: told})
				}
			}
		}
	}
	return all
}

// circle says whether both logins tell and hear some of a subject: the server lets no account import from one that imports
// the same from it. That of the streams hears all.
func circle(hearer, teller Login, subject string) bool {
	return meetsAny(hearer.Rights.Tells, subject) && meetsAny(teller.Rights.Subscribe, subject)
}

// mutual says the same of requests.
func mutual(asker, server Login, subject string) bool {
	return coversAny(asker.Rights.Serves, subject) && slices.Contains(server.Rights.Publish, subject)
}

// Apart is what a login may hear, or ask, of another and cannot, since the other may of it.
type Apart struct{ Login, From, Subject string }

// Apart are all such.
func (s Setup) Apart() []Apart {
	var all []Apart
	for _, l := range s.Logins {
		for _, other := range s.Logins {
			if other.Name == l.Name {
				continue
			}
			for _, told := range other.Rights.Tells {
				if slices.ContainsFunc(l.Rights.Subscribe, func(subject string) bool {
					part, ok := common(told, subject)
					return ok && circle(l, other, part)
				}) {
					all = append(all, Apart{l.Name, other.Name, told})
				}
			}
			for _, subject := range l.Rights.Publish {
				if coversAny(other.Rights.Serves, subject) && mutual(l, other, subject) {
					all = append(all, Apart{l.Name, other.Name, subject})
				}
			}
		}
	}
	return all
}

func withoutCovered(all []crossing) []crossing {
	var kept []crossing
	for i, c := range all {
		if !slices.ContainsFunc(all, func(o crossing) bool {
			return o.from == c.from && o.stream == c.stream && o.subject != c.subject && covers(o.subject, c.subject)
		}) && !slices.Contains(all[:i], c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// exportsOf are what others import from an account. In JWTs no export may lie within another, so the wider is for both.
func exportsOf(name string, all []account) []export {
	var exports []export
	for _, importer := range all {
		for _, c := range importer.imports {
			if c.from != name {
				continue
			}
			e := export{subject: c.within, stream: c.stream, to: []string{importer.name}}
			exports = slices.DeleteFunc(exports, func(o export) bool {
				if o.stream != e.stream || !covers(o.subject, e.subject) && !covers(e.subject, o.subject) {
					return false
				}
				if covers(o.subject, e.subject) {
					e.subject = o.subject
				}
				e.to = join(o.to, e.to)
				return true
			})
			exports = append(exports, e)
		}
	}
	return exports
}

// covers says whether every subject that b matches is matched by a.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, t := range as {
		switch {
		case t == ">":
			return len(bs) > i
		case i >= len(bs), bs[i] == ">":
			return false
		case t != "*" && t != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}

func coversAny(all []string, subject string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return covers(s, subject) })
}

// common is what matches both a and b, false if nothing does.
func common(a, b string) (string, bool) {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	var both []string
	for i := range min(len(as), len(bs)) {
		switch {
		case as[i] == ">":
			return strings.Join(append(both, bs[i:]...), "."), true
		case bs[i] == ">":
			return strings.Join(append(both, as[i:]...), "."), true
		case as[i] == "*":
			both = append(both, bs[i])
		case bs[i] == "*" || as[i] == bs[i]:
			both = append(both, as[i])
		default:
			return "", false
		}
	}
	return strings.Join(both, "."), len(as) == len(bs)
}

func meetsAny(all []string, subject string) bool {
	return slices.ContainsFunc(all, func(s string) bool { _, ok := common(s, subject); return ok })
}
