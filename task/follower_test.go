package task_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const snippet = `package p

import "github.com/natsasync/natsasync/task"

var (
	add   = task.Define[string, int]("math.add")
	tell  = task.Define[int, task.None]("mail.sum")
	read  = task.Define[string, task.None]("mail.read")
	alert = task.Define[task.Failure, task.None]("mail.alert")
	audit = task.Define[task.Outcome, task.None]("audit.log")
	call  = add.On("/a", "in")
	_     = %s
)
`

// TestFollowersThatDoNotFitDoNotCompile type-checks expressions against the compiled
// package.
func TestFollowersThatDoNotFitDoNotCompile(t *testing.T) {
	t.Parallel()
	files := exports(t)
	fset := token.NewFileSet()
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	})}
	check := func(expression string) error {
		file, err := parser.ParseFile(fset, "p.go", fmt.Sprintf(snippet, expression), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conf.Check("p", fset, []*ast.File{file}, nil)
		return err
	}
	for _, good := range []string{
		"call.OnSuccess(tell)", `call.OnSuccess(tell.At("/b"))`, "call.OnFailure(alert)", "call.OnDone(audit)", `call.Then(read.On("/a", "x"), call)`,
		`call.OnSuccess(tell).With(task.InQueue("docs")).OnDone(audit.At("/b"))`,
	} {
		if err := check(good); err != nil {
			t.Errorf("%s does not compile: %v", good, err)
		}
	}
	for _, bad := range []string{
		"call.OnSuccess(read)", `call.OnSuccess(read.At("/b"))`, "call.OnSuccess(alert)", "call.OnFailure(tell)", "call.OnFailure(audit)", "call.OnDone(alert)",
		"call.OnDone(tell)", "call.Then(tell)", "call.OnSuccess(call)", `add.On("/a", 1)`, `tell.On("/a", "text")`,
	} {
		if err := check(bad); err == nil {
			t.Errorf("%s compiles", bad)
		} else if strings.Contains(err.Error(), "could not import") {
			t.Fatal(err)
		}
	}
}

// exports are the compiled packages that package task needs, by import path.
func exports(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".").Output()
	if err != nil {
		t.Fatalf("list compiled packages: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[path] = file
	}
	return files
}
