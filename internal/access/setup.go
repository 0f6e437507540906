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
	var all []crossing
	asks := l.Rights.Publish
	if l.Inside {
		asks = []string{workers}
	}
	for _, subject := range asks {
		for _, other := range s.Logins {
			if other.Name != l.Name && slices.ContainsFunc(other.Rights.Serves, func(served string) bool { return covers(served, subject) }) {
				all = append(all, crossing{from: other.Name, subject: subject, local: subject})
			}
		}
		if l.Inside || strings.HasPrefix(subject, "$S") || slices.ContainsFunc(all, func(c crossing) bool { return c.local == subject }) {
			continue
		}
		there := subject
		if rest, ok := strings.CutPrefix(subject, OutsideAPI); ok {
			there = insideAPI + rest
		}
		all = append(all, crossing{from: s.Streams, subject: there, local: subject})
	}
	for _, subject := range l.Rights.Subscribe {
		served := slices.ContainsFunc(l.Rights.Serves, func(s string) bool { return covers(subject, s) })
		if !l.Inside && !served && !strings.HasPrefix(subject, "_INBOX") {
			all = append(all, crossing{from: s.Streams, subject: subject, local: subject, stream: true})
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
			e := export{subject: c.subject, stream: c.stream, to: []string{importer.name}}
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
