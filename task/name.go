package task

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckName says whether name can name a task: one or more parts of a-z, 0-9, _
// and -, joined by dots, at most [MaxName] bytes. Names are chosen by the author
// and never taken from Go's own names, so that moving a function orphans no job.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf(`task: name "": a task needs a name (like "doc.create")`)
	}
	if len(name) > MaxName {
		return fmt.Errorf("task: name %s: %d bytes are too many (at most %d)", Quote(name), len(name), MaxName)
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || !all(part, isWord) {
			return fmt.Errorf("task: name %s: names are parts of a-z, 0-9, _ and -, joined by dots (%s)", Quote(name), suggest(name, true))
		}
	}
	return nil
}

// CheckToken says whether value can name a queue, a quota or a namespace: a-z, 0-9
// and -, not beginning with -, at most [MaxName] bytes. field is the word that the
// error uses for it.
func CheckToken(field, value string) error {
	if value == "" {
		return fmt.Errorf(`%s "": it must not be empty (like "default")`, field)
	}
	if len(value) > MaxName {
		return fmt.Errorf("%s %s: %d bytes are too many (at most %d)", field, Quote(value), len(value), MaxName)
	}
	if value[0] == '-' || !all(value, isToken) {
		return fmt.Errorf("%s %s: names are a-z, 0-9 and - (%s)", field, Quote(value), suggest(value, false))
	}
	return nil
}

// CheckID says whether id can be given to a job by [WithID]: letters, digits, _ and
// -, at most [MaxName] bytes.
func CheckID(id string) error {
	if id == "" {
		return fmt.Errorf(`id "": it must not be empty (leave WithID out for an ID of our own)`)
	}
	if len(id) > MaxName {
		return fmt.Errorf("id %s: %d bytes are too many (at most %d)", Quote(id), len(id), MaxName)
	}
	if !all(id, isID) {
		return fmt.Errorf("id %s: IDs are letters, digits, _ and -", Quote(id))
	}
	return nil
}

// Quote shows a value in an error: quoted, cut to 64 bytes.
func Quote(value string) string {
	const most = 64
	if len(value) <= most {
		return fmt.Sprintf("%q", value)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(value[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", value[:cut], len(value))
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isToken(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }
func isWord(c byte) bool  { return isToken(c) || c == '_' }
func isID(c byte) bool    { return isWord(c) || c >= 'A' && c <= 'Z' }

// suggest makes the nearest legal name, for the end of an error.
func suggest(value string, dots bool) string {
	var b strings.Builder
	for _, r := range strings.ToLower(value) {
		switch {
		case r < utf8.RuneSelf && isToken(byte(r)), dots && (r == '.' || r == '_'):
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-.")
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if name == "" {
		return `like "default"`
	}
	return "try " + Quote(name)
}
