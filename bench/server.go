package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/embedded"
)

const stopWithin = 20 * time.Second

// server is the NATS server of one measurement, with file storage in a directory of its own.
type server struct {
	connect func() (*nats.Conn, error)
	stop    func() error
}

// startServer runs a server in this process or as a child. With synced it writes each message to the disk before it
// answers, else it syncs when the server does by default, every two minutes.
func startServer(parent string, inproc, synced bool) (*server, error) {
	dir, err := os.MkdirTemp(parent, "natsasync-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a store: %w", err)
	}
	start := startChild
	if inproc {
		start = startHere
	}
	s, err := start(dir, synced)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := s.stop
	s.stop = func() error { return errors.Join(stop(), os.RemoveAll(dir)) }
	return s, nil
}

func startHere(dir string, synced bool) (*server, error) {
	srv, err := embedded.Start(embedded.Config{StoreDir: dir, NoSync: !synced})
	if err != nil {
		return nil, err
	}
	return &server{
		connect: func() (*nats.Conn, error) { return srv.Connect() },
		stop: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
			defer cancel()
			return srv.Shutdown(ctx)
		},
	}, nil
}

// startChild runs this program as a server. It ends when its stdin does, with us at the latest.
func startChild(dir string, synced bool) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	args := []string{"serve", "--dir", dir}
	if synced {
		args = append(args, "--synced")
	}
	child := exec.Command(self, args...)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: it did not say where it listens: %w", err), in.Close(), child.Wait())
	}
	return &server{
		connect: func() (*nats.Conn, error) { return nats.Connect(strings.TrimSpace(url)) },
		stop:    func() error { return errors.Join(in.Close(), child.Wait()) },
	}, nil
}

// serveCmd is the child.
type serveCmd struct {
	Dir    string `required:"" type:"existingdir"`
	Synced bool
}

// Run serves until stdin ends. An interrupt is for the parent, which ends it then.
func (c *serveCmd) Run(_ context.Context) error {
	srv, err := embedded.Start(embedded.Config{StoreDir: c.Dir, NoSync: !c.Synced, Port: -1})
	if err != nil {
		return err
	}
	fmt.Println(srv.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return srv.Shutdown(ctx)
}
