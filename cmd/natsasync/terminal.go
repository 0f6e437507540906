package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// terminal is where a command reads and prints.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	asks     bool // somebody sits at in
	colours  bool
	asJSON   bool
}

func newTerminal(in, out, err *os.File) *terminal {
	return &terminal{
		in: in, out: out, err: err,
		asks:    isatty.IsTerminal(in.Fd()),
		colours: isatty.IsTerminal(out.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// say prints one line. The text may hold colours, and of what comes from elsewhere only what printable let through.
func (t *terminal) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.out, format+"\n", args...)
	return err
}

// remark prints a line to stderr that is no part of the output.
func (t *terminal) remark(format string, args ...any) {
	_, _ = fmt.Fprintf(t.err, "natsasync: %s\n", printable(fmt.Sprintf(format, args...)))
}

// complain prints an error, one that was joined on several lines.
func (t *terminal) complain(err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		t.remark("%s", plain(line))
	}
}

// plain leaves out which package of ours an error is from.
func plain(text string) string {
	for _, pkg := range [...]string{"producer: ", "stream: ", "embedded: ", "task: "} {
		text = strings.TrimPrefix(text, pkg)
	}
	return text
}

// result prints v as JSON, or runs text.
func (t *terminal) result(v any, text func() error) error {
	if t.asJSON {
		return t.writeJSON(v)
	}
	return text()
}

// confirm asks before harm is done. Without somebody to ask it is an error that names -f.
func (t *terminal) confirm(force bool, format string, args ...any) error {
	if force {
		return nil
	}
	question := printable(fmt.Sprintf(format, args...))
	if !t.asks {
		return misuse("%s? There is no terminal to ask at (use -f to do it without asking)", question)
	}
	_, _ = fmt.Fprintf(t.err, "%s? (y/N) ", question)
	answer, err := bufio.NewReader(t.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}
