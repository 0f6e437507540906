package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/natsasync/natsasync/internal/stream"
	"github.com/natsasync/natsasync/task"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const about = "Background jobs on NATS JetStream: run a server, make queues, look at jobs and steer them."

// run is the program: it returns the exit code.
func run(args []string) int {
	t := newTerminal(os.Stdin, os.Stdout, os.Stderr)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var g grammar
	parser, err := kong.New(&g, kong.Name("natsasync"), kong.Description(about), kong.UsageOnError(), kong.Help(help),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, NoExpandSubcommands: true}),
		kong.Vars{"version": "natsasync " + version()})
	if err != nil {
		t.complain(fmt.Errorf("grammar: %w", err))
		return exitError
	}
	if i := slices.IndexFunc(args, func(arg string) bool { return !utf8.ValidString(arg) }); i >= 0 {
		t.complain(fmt.Errorf("argument %s: it is no UTF-8", task.Quote(args[i]))) // kong would change it
		return exitUsage
	}
	parsed, err := parser.Parse(joinHyphens(args))
	if err != nil {
		t.complain(fmt.Errorf("%s (try natsasync --help)", withoutAliases(err)))
		return exitUsage
	}
	if err := unused(parsed); err != nil {
		t.complain(err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	if !isOffline(parsed) {
		ctx = stream.WithPatience(ctx, g.Connection.Timeout)
	}
	t.asJSON = g.JSON
	parsed.BindTo(ctx, (*context.Context)(nil))
	e := &environment{terminal: t, connection: g.Connection, command: parsed.Command()}
	return t.exitCode(e.afterwards(parsed.Run(e)))
}

// offline are the commands that connect to no server.
var offline = []string{"demo", "server", "torture", "decode", "auth key"}

func isOffline(ctx *kong.Context) bool {
	return ctx.Selected() != nil && slices.Contains(offline, withoutArguments(ctx.Command()))
}

// ofConnection says whether a flag tells how to connect.
func ofConnection(f *kong.Flag) bool { return f.Group != nil && f.Group.Key == "Connection" }

// help leaves out how to connect where nothing does.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if isOffline(ctx) {
		for _, flags := range ctx.Selected().AllFlags(true) {
			for _, f := range flags {
				f.Hidden = f.Hidden || ofConnection(f)
			}
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// unused refuses a flag that would do nothing.
func unused(ctx *kong.Context) error {
	if !isOffline(ctx) {
		return nil
	}
	for _, p := range ctx.Path {
		if p.Flag != nil && ofConnection(p.Flag) {
			return fmt.Errorf("--%s: %s connects to no server (leave it out)", p.Flag.Name, withoutArguments(ctx.Command()))
		}
	}
	return nil
}

// withoutAliases is an error of kong, which begins with the command and all its aliases: "queue (q) pause: ".
func withoutAliases(err error) string {
	wrong, ok := errors.AsType[*kong.ParseError](err)
	if !ok || wrong.Context.Selected() == nil {
		return err.Error()
	}
	rest, found := strings.CutPrefix(err.Error(), wrong.Context.Selected().Path()+": ")
	if !found {
		return err.Error()
	}
	return withoutArguments(wrong.Context.Command()) + ": " + rest
}

// environment is what every command gets: the terminal, and how to connect.
type environment struct {
	*terminal
	connection connection
	command    string
	live       bool // it may run for ever, so what is denied is told at once
	denials    denials
	log        *slog.Logger // nil for one on stderr
}

// usageError is what the caller of the command did wrong: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func misuse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent ends the program with exit code 1; what there was to say has been printed.
var errSilent = errors.New("the job did not succeed")

func (t *terminal) exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSilent) {
		return exitError
	}
	t.complain(err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitError
}

// joinHyphens lets values that begin with a hyphen follow their flag as a word of their own: "--port -1", "--input -".
func joinHyphens(args []string) []string {
	var joined []string
	for i, arg := range args {
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		if last := len(joined) - 1; last >= 0 && isHyphenValue(arg) && strings.HasPrefix(joined[last], "--") && !strings.Contains(joined[last], "=") {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}

func isHyphenValue(arg string) bool {
	return arg == "-" || len(arg) > 1 && arg[0] == '-' && (arg[1] >= '0' && arg[1] <= '9' || arg[1] == '.')
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
