package embedded

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	defaultName = "natsasync"
	defaultHost = "127.0.0.1"
)

// Config says how a server is run. The zero value is a throw-away server
// without a socket.
type Config struct {
	// StoreDir is where the streams live. It is made if it is missing, and
	// locked until Shutdown. Defaults to a temporary directory that Shutdown
	// removes. The nodes of a cluster use node-1, node-2 and so on below it.
	StoreDir string

	// NoSync lets the server acknowledge a write before it is on the disk.
	// Much faster, and not safe against a power cut: what the last minutes
	// wrote is lost, and a stream made in them with all it holds. The end of
	// the process alone, kill -9 too, loses nothing. Defaults to syncing every
	// write. Without a StoreDir nothing is synced anyway.
	NoSync bool

	// Host is the address that clients connect to, for a server that has a
	// Port. Defaults to 127.0.0.1: only this machine.
	Host string

	// Port is where clients connect: 0 for no socket, -1 for any free port.
	// Defaults to 0. The nodes of a cluster always listen: with 0 or -1 each
	// on a free port, else on Port, Port+1 and so on.
	Port int

	// Name is the name of the server, as the nats tool shows it. Defaults to
	// "natsasync"; the nodes of a cluster are called Name-1, Name-2 and so on.
	// A cluster with a StoreDir must keep its name: its nodes know each other
	// by it.
	Name string

	// Options changes what Config does not cover: accounts, users, TLS,
	// monitoring, limits. It is called with empty options, once a server and
	// twice at each of its reloads, must make all anew each time, and cannot
	// change what Config decides. Defaults to nil.
	Options func(*server.Options)

	// Logger gets the server's log: what it warns of and its errors as such,
	// its notices at Debug, its own debug and trace lines below that. What the
	// nodes of a cluster say because they do not start all at once is a notice
	// too. Defaults to zerolog on stderr at warn.
	Logger *slog.Logger
}

func (c Config) check() error {
	if c.Port < -1 || c.Port > 65535 {
		return fmt.Errorf("embedded: port %q: is no port (give 1 to 65535, -1 for any free one, 0 for no socket)", strconv.Itoa(c.Port))
	}
	return nil
}

// options turns a checked Config into the server's own options. Only the store
// directory is missing.
func (c Config) options() *server.Options {
	opts := &server.Options{}
	if c.Options != nil {
		c.Options(opts)
	}
	opts.ServerName = c.name()
	opts.JetStream = true
	opts.SyncAlways = c.StoreDir != "" && !c.NoSync
	opts.Host = c.host()
	opts.Port = c.Port
	opts.DontListen = c.Port == 0
	opts.NoSigs, opts.NoLog = true, true // a reload sets up no log of the server's own
	return opts
}

func (c Config) name() string {
	if c.Name == "" {
		return defaultName
	}
	return c.Name
}

func (c Config) host() string {
	if c.Host == "" {
		return defaultHost
	}
	return c.Host
}
