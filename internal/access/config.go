package access

import (
	"fmt"
	"strings"
)

// Config is the setup as part of a server's configuration file.
func (s Setup) Config() string {
	var b strings.Builder
	put := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", indent))
		fmt.Fprintf(&b, format+"\n", args...)
	}
	put(0, "accounts {")
	for _, a := range s.accounts() {
		put(1, "%s: {", a.name)
		if a.name == s.Streams {
			put(2, "jetstream: enabled")
		}
		put(2, "users: [")
		for _, l := range a.logins {
			put(3, "# %s", l.Name)
			put(3, "{ nkey: %s, permissions: {", l.Public)
			put(4, "publish: %s", quoted(l.Rights.Publish))
			put(4, "subscribe: %s", quoted(l.Rights.Subscribe))
			if len(l.Rights.Serves) > 0 {
				put(4, "allow_responses: true")
			}
			put(3, "} }")
		}
		put(2, "]")
		put(2, "exports: [")
		for _, e := range a.exports {
			put(3, "{ %s }", e.text())
		}
		put(2, "]")
		put(2, "imports: [")
		for _, c := range a.imports {
			put(3, "{ %s }", c.text())
		}
		put(2, "]")
		put(1, "}")
	}
	put(0, "}")
	return b.String()
}

func (e export) text() string {
	kind, more := "service", ""
	switch {
	case e.stream:
		kind = "stream"
	case e.many():
		more = ", response_type: Stream"
	}
	return fmt.Sprintf("%s: %q%s, accounts: %s", kind, e.subject, more, quoted(e.to))
}

func (c crossing) text() string {
	kind, to := "service", ""
	if c.stream {
		kind = "stream"
	}
	if c.local != c.subject {
		to = fmt.Sprintf(", to: %q", c.local)
	}
	return fmt.Sprintf("%s: { account: %q, subject: %q }%s", kind, c.from, c.subject, to)
}

func quoted(all []string) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
