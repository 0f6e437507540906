package integration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// faults are the rows of the fault matrix. The tests of a row have its number in their names, wherever they are.
var faults = map[int]string{
	1:  "none",
	2:  "a worker is killed while a job runs",
	3:  "a worker is killed between any two steps",
	4:  "a worker is paused for longer than its lease",
	5:  "a function ignores its context",
	6:  "a producer is killed while it queues",
	7:  "an answer to a producer is lost",
	8:  "the server is killed",
	9:  "the server is gone for ten minutes",
	10: "the server is paused",
	11: "a node of three is killed",
	12: "three nodes of three are killed",
	13: "the leader is cut off from the other nodes",
	14: "a worker is cut off from the server",
	15: "the line is slow",
	16: "power cut, synced writes",
	17: "power cut, default sync",
	18: "power cut of one node of three, and pauses",
	19: "the disk is full",
	20: "a stream is full",
	21: "the server's files are damaged",
	22: "lanes and streams are deleted or changed by hand",
	23: "a job kills its process",
	24: "a function panics",
	25: "clocks are wrong or set",
	26: "a worker is asked to stop",
	27: "workers are replaced under load, by others of another version",
	28: "many workers begin at once",
	29: "many producers queue the same job",
	30: "somebody ends a job from outside while it ends",
	31: "thousands of long jobs hide a stale one",
	32: "the directory of users is down",
	33: "an outcome cannot be stored",
	34: "who listens to events is slow",
	35: "much load",
	36: "all of it at random",
	37: "batches lie open",
}

// elsewhere is the one row that is no test of Go.
const elsewhere = 36 // make torture

var rowOf = regexp.MustCompile(`^TestF([0-9][0-9])[A-Z]`)

func TestEveryFaultHasATest(t *testing.T) {
	t.Parallel()
	there := map[int]bool{elsewhere: true}
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			if m := rowOf.FindStringSubmatch(f.Name.Name); m != nil {
				n, _ := strconv.Atoi(m[1])
				there[n] = true
				if faults[n] == "" {
					t.Errorf("%s is of a row that the matrix does not have", f.Name.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for row, fault := range faults {
		if !there[row] {
			t.Errorf("row F%02d has no test: %s", row, fault)
		}
	}
}
