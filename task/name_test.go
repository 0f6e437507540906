package task_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/task"
)

var wanted = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\z`)

func badNames() []string {
	return []string{
		"", "a.b c", "a*", "a>", "a/b", "../x", "a\x00b", strings.Repeat("a", 65), "Doc.create", ".a", "a.", "a..b", ".", "é", "a\n", "a\u202Eb", "аdmin",
	}
}

func TestNamesOfTasks(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"math.add", "a", "_", "-", "0", "a-b.c_d.e", strings.Repeat("a", 64)} {
		if err := task.CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range badNames() {
		if err := task.CheckName(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNamesOfQueues(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"default", "mail-out", "0", "a-", strings.Repeat("a", 64)} {
		if err := task.CheckToken("queue", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a.b", "a b", "*", ">", "$JS", "_INBOX", "é", strings.Repeat("a", 65), strings.Repeat("a", 300), "-a", "a_b", "A", "a\n", "a\x00"} {
		if err := task.CheckToken("queue", bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if !strings.HasPrefix(err.Error(), "queue ") {
			t.Errorf("%q: the error does not begin with the field: %v", bad, err)
		}
	}
}

func TestErrorsOfNamesTellTheFix(t *testing.T) {
	t.Parallel()
	for name, fix := range map[string]string{
		"Doc.Create": `"doc.create"`, "doc create": `"doc-create"`, "a..b": `"a.b"`, "é": "like", "mail/out": `"mail-out"`,
	} {
		if err := task.CheckName(name); !strings.Contains(err.Error(), fix) {
			t.Errorf("%q: %v, want the hint %s", name, err, fix)
		}
	}
	if err := task.CheckToken("quota", "SMTP.out"); !strings.Contains(err.Error(), `try "smtp-out"`) {
		t.Error(err)
	}
}

func TestWhatErrorsSuggestIsLegal(t *testing.T) {
	t.Parallel()
	hint := regexp.MustCompile(`\(try "([^"]*)"\)$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringN(1, 64, 64), rapid.StringMatching(`[A-Za-z0-9._ */-]{1,64}`)).Draw(t, "name")
		for _, check := range []func(string) error{task.CheckName, func(s string) error { return task.CheckToken("queue", s) }} {
			err := check(s)
			if err == nil {
				continue
			}
			if m := hint.FindStringSubmatch(err.Error()); m != nil && check(m[1]) != nil {
				t.Fatalf("%q: the hint %q is no better", s, m[1])
			}
		}
	})
}

func TestValuesInErrorsAreQuotedAndShort(t *testing.T) {
	t.Parallel()
	if got := task.Quote("a\nb"); got != `"a\nb"` {
		t.Errorf("Quote: %s", got)
	}
	if got, want := task.Quote(strings.Repeat("é", 100)), `"`+strings.Repeat("é", 32)+`"… (200 bytes)`; got != want {
		t.Errorf("Quote: %s, want %s", got, want)
	}
	if got := task.Quote(strings.Repeat("\x80", 100)); len(got) > 300 {
		t.Errorf("Quote of invalid bytes has %d", len(got))
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	if got := task.MemberID("J", 3); got != "J.3" {
		t.Error(got)
	}
	if got := task.MemberID(task.MemberID("J", 3), 2); got != "J.3.2" {
		t.Error(got)
	}
	if got := task.MemberID(task.CallbacksID("J"), 1); got != "J.cb.1" {
		t.Error(got)
	}
	for _, id := range []string{"J", "J.3", "J.3.2", "J.cb", "J.cb.1", "J.2.cb.1"} {
		if err := task.CheckFullID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if got := task.RootID(id); got != "J" {
			t.Errorf("RootID(%q) = %q", id, got)
		}
		if got := task.Whole(id); got != (id == "J") {
			t.Errorf("Whole(%q) = %v", id, got)
		}
	}
	for _, bad := range []string{
		"", ".", "J.", ".1", "J.0", "J.-1", "J.01", "J.+1", "J.1001", "J.x", "J.CB", "J..1", "J.1.", "J.*", "J.>", "*", "a b", "J.cb\n",
		strings.Repeat("a", 65), "J" + strings.Repeat(".1", 65),
	} {
		if err := task.CheckFullID(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"", "J.1", "a b", "*", "é", strings.Repeat("a", 65)} {
		if err := task.CheckID(bad); err == nil {
			t.Errorf("ID %q is taken", bad)
		}
	}
}

func TestNewIDsAreDifferentAndLegal(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := task.NewID()
		if err := task.CheckID(id); err != nil || len(id) != 26 || seen[id] {
			t.Fatalf("%q: %v", id, err)
		}
		seen[id] = true
	}
}
