package natsasync_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What operators see in a log stands in the table of the page, and the table has no line that nothing logs.
func TestThePageOfOperatingHasEveryLineOfTheLog(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n## What the log says\n")
	if !found {
		t.Fatal("the page has no table of lines")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.+?`) \\|").FindAllStringSubmatch(table, -1) {
		for _, line := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			begin, _, _ := strings.Cut(line[1], "…")
			rows = append(rows, strings.TrimSpace(begin))
		}
	}
	logged := map[string]string{} // by line, its level
	for _, dir := range []string{"consumer", "embedded", "hooks", "internal", "producer", "registry", "task"} {
		linesOf(t, dir, logged)
	}
	if len(rows) < 30 || len(logged) < 30 {
		t.Fatalf("%d rows and %d lines were found", len(rows), len(logged))
	}
	for line, level := range logged {
		if level != "Debug" && !slices.ContainsFunc(rows, func(row string) bool { return strings.HasPrefix(line, row) }) {
			t.Errorf("no row has %q", line)
		}
	}
	lines := slices.Collect(maps.Keys(logged))
	for _, row := range rows {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, row) }) {
			t.Errorf("nothing logs %q", row)
		}
	}
}

// linesOf collects what the calls of a logger below dir say.
func linesOf(t *testing.T, dir string, logged map[string]string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			level := strings.TrimSuffix(method.Sel.Name, "Context")
			switch level {
			case "Debug", "Info", "Warn", "Error":
			default:
				return true
			}
			for _, arg := range call.Args[:min(2, len(call.Args))] {
				if text, ok := arg.(*ast.BasicLit); ok && text.Kind == token.STRING {
					line, err := strconv.Unquote(text.Value)
					if err != nil {
						t.Fatal(err)
					}
					logged[line] = level
					break
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
