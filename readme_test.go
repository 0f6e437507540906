package natsasync_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// block is a fenced part of a page.
type block struct {
	line           int
	language, text string
}

// blocks returns the fenced parts of a page, in their order.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	in := false
	for i, line := range strings.Split(string(text), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && in:
			in = false
		case fence:
			in = true
			all = append(all, block{line: i + 1, language: language})
		case in:
			last := &all[len(all)-1]
			last.text += line + "\n"
		}
	}
	if in {
		t.Fatalf("%s: a block is not closed", page)
	}
	return all
}

// flat is source without its indentation, so that a part can be looked for in a whole.
func flat(source string) string {
	var lines []string
	for line := range strings.Lines(source) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return "\n" + strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// compiled is what the examples consist of: this package's tests, and the programs that
// TestTheProgramPrintsWhatReadmeSays builds.
func compiled(t *testing.T) []string {
	t.Helper()
	var sources []string
	for _, pattern := range []string{"example_*_test.go", "example_test.go", "testdata/examples/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, flat(string(source)))
		}
	}
	return sources
}

func TestEveryGoBlockOfThePagesIsCompiled(t *testing.T) {
	t.Parallel()
	sources := compiled(t)
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md") {
		shown := 0
		for _, b := range blocks(t, page) {
			if b.language != "go" {
				continue
			}
			shown++
			if !contained(sources, flat(b.text)) {
				t.Errorf("%s:%d: these lines stand in no example:\n%s", page, b.line, b.text)
			}
		}
		if page == "README.md" && shown < 10 {
			t.Errorf("README.md has %d Go blocks", shown)
		}
	}
}

func contained(sources []string, part string) bool {
	for _, source := range sources {
		if strings.Contains(source, part) {
			return true
		}
	}
	return false
}

// The first Go block is the whole program, at most 30 lines; the block after it is what
// it prints.
func TestTheProgramPrintsWhatReadmeSays(t *testing.T) {
	t.Parallel()
	const path = "testdata/examples/hello/main.go"
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := blocks(t, "README.md")
	first := 0
	for first < len(page) && page[first].language != "go" {
		first++
	}
	if first+1 >= len(page) {
		t.Fatal("README.md has no program with what it prints")
	}
	if diff := cmp.Diff(string(source), page[first].text); diff != "" {
		t.Errorf("README.md does not show %s (-file +page):\n%s", path, diff)
	}
	if n := bytes.Count(source, []byte("\n")); n > 30 {
		t.Errorf("%s has %d lines", path, n)
	}
	program := filepath.Join(t.TempDir(), "hello")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+filepath.Dir(path)).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page[first+1].text, string(out)); diff != "" {
		t.Errorf("the program prints something else (-page +program):\n%s", diff)
	}
}

// Links to files lead somewhere; so do the names of files and tests in docs/guarantees.md.
func TestLinksOfThePagesLeadToFiles(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md") {
		for _, rest := range strings.Split(prose(t, page), "](")[1:] {
			target, _, _ := strings.Cut(rest, ")")
			target, _, _ = strings.Cut(target, "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, target)
			}
		}
	}
	for i, quoted := range strings.Split(prose(t, "docs/guarantees.md"), "`") {
		if i%2 == 0 || !strings.HasSuffix(quoted, "_test.go") {
			continue
		}
		if _, err := os.Stat(quoted); err != nil {
			t.Errorf("docs/guarantees.md: there is no %s", quoted)
		}
	}
}

// prose is a page without its fenced parts.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i, part := range strings.Split(string(text), "\n```") {
		if i%2 == 0 {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "\n")
}
