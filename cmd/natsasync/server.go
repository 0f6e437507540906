package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/natsasync/natsasync/embedded"
)

// stopWithin is how long a server may take to stop.
const stopWithin = 30 * time.Second

type serverCmd struct {
	StoreDir string `type:"path" placeholder:"DIR" help:"Where the streams live. Without it they are thrown away at the end."`
	Host     string `default:"127.0.0.1" help:"Address to listen on (${default}: this machine alone)."`
	Port     int    `default:"4222" help:"Port to listen on, -1 for any free one (${default})."`
	Cluster  int    `default:"1" placeholder:"N" help:"Nodes, 1, 3 or 5, in this process: they take the port and those after it, and directories of their own below the one given."`
	Config   string `type:"existingfile" placeholder:"FILE" help:"Part of a configuration of nats-server: accounts and logins, as \"natsasync auth setup\" makes them, TLS, limits. What the flags say goes before it. SIGHUP has it read again."`
	NoSync   bool   `help:"Acknowledge writes before they are on the disk: faster, and not safe against a power cut."`
}

// Validate is called by kong.
func (c serverCmd) Validate() error {
	if c.Port == 0 || c.Port < -1 || c.Port > 65535 {
		return fmt.Errorf("--port %d: give 1 to 65535, or -1 for any free one", c.Port)
	}
	if c.Cluster < 1 || c.Cluster > 5 || c.Cluster%2 == 0 {
		return fmt.Errorf("--cluster %d: must be 1, 3 or 5 (an even number survives no more than the odd one below it)", c.Cluster)
	}
	if c.NoSync && c.StoreDir == "" {
		return fmt.Errorf("--no-sync: says nothing without --store-dir (a throw-away server syncs nothing)")
	}
	return nil
}

// Run serves until ctx ends.
func (c serverCmd) Run(ctx context.Context, e *environment) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	cfg := embedded.Config{StoreDir: c.StoreDir, Host: c.Host, Port: c.Port, NoSync: c.NoSync, Logger: e.logger()}
	file := &configFile{path: c.Config}
	if c.Config != "" {
		if err := file.read(); err != nil {
			return err
		}
		cfg.Options = file.options
	}
	srv, err := c.start(cfg)
	if err != nil {
		return err
	}
	said := e.announce(srv.URL(), c)
	for said == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hangups:
			file.reload(e, srv)
		}
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := srv.Shutdown(stopping); err != nil {
		return err
	}
	return said
}

// configFile is a configuration that is read for each server by itself: servers write into their accounts.
type configFile struct {
	path string
	last *server.Options
}

func (f *configFile) read() error {
	part, err := server.ProcessConfigFile(f.path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	f.last = part
	return nil
}

// options are those of the file, or those that it had last if it cannot be read now.
func (f *configFile) options(o *server.Options) {
	_ = f.read()
	*o = *f.last.Clone()
}

// reload does what nats-server does when it is sent the signal. What cannot be changed leaves the server as it was.
func (f *configFile) reload(e *environment, srv running) {
	if f.path == "" {
		e.remark("SIGHUP: there is no configuration to read again (give --config); the server goes on")
		return
	}
	err := f.read()
	if err == nil {
		err = srv.Reload()
	}
	if err != nil {
		e.complain(fmt.Errorf("SIGHUP: the server goes on as it was: %w", err))
		return
	}
	e.remark("SIGHUP: %s is read again", f.path)
}

// running is a server or a cluster.
type running interface {
	URL() string
	Reload() error
	Shutdown(ctx context.Context) error
}

func (c serverCmd) start(cfg embedded.Config) (running, error) {
	if c.Cluster == 1 {
		return embedded.Start(cfg)
	}
	return embedded.StartCluster(c.Cluster, cfg)
}

func (e *environment) announce(url string, c serverCmd) error {
	view := struct {
		URL      string `json:"url"`
		StoreDir string `json:"store_dir,omitempty"`
		Sync     bool   `json:"sync"`
	}{url, c.StoreDir, c.StoreDir != "" && !c.NoSync}
	return e.result(view, func() error {
		what := "throw-away: its streams end with it (give --store-dir to keep them)"
		if c.StoreDir != "" {
			what = "streams in " + printable(c.StoreDir)
		}
		if c.NoSync {
			what += ", not synced"
		}
		return e.say("%s is ready, %s", url, what)
	})
}
