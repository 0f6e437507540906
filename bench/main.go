// Command bench measures natsasync against a client that is written by hand on NATS and takes the same steps. Both
// sides run in this process, in turn, each time against a server of its own with an empty store, and what is printed
// is the median of the ratios of the rounds: absolute figures differ from hour to hour, ratios much less.
//
//	go run ./bench                    all measurements, the server as a process of its own, over loopback TCP
//	go run ./bench --quick            a smoke run: one round, few jobs
//	go run ./bench --inproc           the server in this process
//	go run ./bench --only drain-parallel --profile .
//
// What is the same on both sides: streams and consumers, the bytes of the jobs, the size of the outcomes, jobs that do
// nothing. What the raw client leaves out is what natsasync is for: it decodes nothing, knows no users, renews no lease,
// survives no outage and fails at the first surprise.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// grammar is the command line.
type grammar struct {
	Run   runCmd   `cmd:"" default:"withargs" help:"Measure."`
	Serve serveCmd `cmd:"" hidden:"" help:"Be the server of a measurement until stdin ends."`
}

type runCmd struct {
	Quick   bool     `short:"q" help:"A smoke run: one round, few jobs. Its figures mean little."`
	Rounds  int      `default:"5" help:"Rounds of each measurement (${default})."`
	Only    []string `placeholder:"NAME" help:"Measure these alone: ${names}."`
	Inproc  bool     `help:"Run the server in this process, without sockets."`
	JSON    bool     `name:"json" help:"Print a JSON object a line."`
	Check   bool     `help:"Exit 1 if a target is missed."`
	Dir     string   `type:"existingdir" help:"Where the servers store, each in a directory that is removed. Defaults to the temporary directory."`
	Profile string   `type:"existingdir" placeholder:"DIR" help:"Write CPU profiles of our drains there, one a round."`
}

// Validate is called by kong.
func (c *runCmd) Validate() error {
	if c.Rounds < 1 {
		return fmt.Errorf("--rounds %d: give at least 1", c.Rounds)
	}
	return nil
}

var errMissed = errors.New("a target is missed")

// Run measures and prints.
func (c *runCmd) Run(ctx context.Context) error {
	g := &ground{inproc: c.Inproc, dir: c.Dir, profiles: c.Profile, sizes: whole}
	rounds := c.Rounds
	if c.Quick {
		g.sizes, rounds = quick, 1
	}
	chosen, err := choose(g.measurements(), c.Only)
	if err != nil {
		return err
	}
	out := newReport(os.Stdout, c.JSON)
	out.head(g, rounds)
	missed := false
	for _, m := range chosen {
		r, err := m.compare(ctx, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := out.line(r); err != nil {
			return err
		}
		missed = missed || !r.Holds
	}
	if c.Check && missed {
		return errMissed
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed := kong.Parse(&grammar{}, kong.Name("bench"), kong.UsageOnError(), kong.Vars{"names": names()},
		kong.Description("Ratios of natsasync to a client written by hand on NATS that takes the same steps."))
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.FatalIfErrorf(parsed.Run())
}
