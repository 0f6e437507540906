package task

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Object is the path of the thing that a task works on, like "/plone/folder":
// absolute, clean, separated by slashes, at most [MaxObject] bytes. It is a name and
// no more: a worker resolves it anew for each attempt. The empty Object means that
// a task works on nothing in particular.
type Object string

// ParseObject checks a path. Nothing is made clean by guessing: a path that could be
// read in two ways is an error.
func ParseObject(path string) (Object, error) {
	o := Object(path)
	return o, o.check()
}

// String returns the path.
func (o Object) String() string { return string(o) }

func (o Object) check() error {
	if o == "" {
		return nil
	}
	s := string(o)
	bad := func(why string) error { return fmt.Errorf("object %s: %s", Quote(s), why) }
	if len(s) > MaxObject {
		return bad(fmt.Sprintf("%d bytes are too many (at most %d)", len(s), MaxObject))
	}
	if s[0] != '/' {
		return bad(fmt.Sprintf("paths begin with a slash (try %s)", Quote("/"+s)))
	}
	if s == "/" {
		return nil
	}
	if s[len(s)-1] == '/' {
		return bad(fmt.Sprintf("paths do not end with a slash (try %s)", Quote(strings.TrimRight(s, "/"))))
	}
	if !utf8.ValidString(s) {
		return bad("paths are UTF-8")
	}
	for part := range strings.SplitSeq(s[1:], "/") {
		switch part {
		case "":
			return bad("two slashes in a row (leave one out)")
		case ".", "..":
			return bad("paths are clean, without . and .. (resolve it first)")
		}
	}
	for i, r := range s {
		if r == '\\' || r == '%' || r == '\u2215' || r == '\u2044' || invisible(r) {
			return bad(fmt.Sprintf("%U at byte %d is not allowed in a path", r, i))
		}
	}
	return nil
}
