package task_test

import (
	"strings"
	"testing"

	"github.com/natsasync/natsasync/task"
)

func badObjects() []string {
	return []string{
		"plone/folder", "//a", "//", "/a//b", "/a/../b", "/a/./b", "/..", "/.", "/a/..", "/a/%2e%2e/b", "/a/..%2f", `\\a`, `/a\b`, "/a/b/",
		"/a\x00b", "/a\nb", "/a\rb", "/a\u2215b", "/a\u2044b", "/a\u202Eb", "/a\u200Bb", "/a\uFEFFb", "/a\u0085b", "/a\u2028b", "/a\u2029b", "/a\u2066b", "/a\x7fb", "/\xff\xfe",
		"/" + strings.Repeat("a", 512),
	}
}

func TestObjectsAreCleanPaths(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "/", "/a", "/plone/folder", "/a.b/..c/.d", "/ä/ö ü", "/a*b/>", "/" + strings.Repeat("a", 511)} {
		if o, err := task.ParseObject(good); err != nil || o.String() != good {
			t.Errorf("%q: %q, %v", good, o, err)
		}
	}
	for _, bad := range badObjects() {
		if _, err := task.ParseObject(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if !strings.HasPrefix(err.Error(), "object ") || strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q: %q", bad, err)
		}
	}
}

func TestErrorsOfObjectsTellTheFix(t *testing.T) {
	t.Parallel()
	for path, fix := range map[string]string{"plone/folder": `try "/plone/folder"`, "/a/b/": `try "/a/b"`, "/a//b": "leave one out", "/a%2e": "U+0025 at byte 2"} {
		if _, err := task.ParseObject(path); !strings.Contains(err.Error(), fix) {
			t.Errorf("%q: %v, want %s", path, err, fix)
		}
	}
}
