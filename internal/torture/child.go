package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/natsasync/natsasync/internal/torture/history"
)

// child is a process of the run.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	gone  chan struct{} // closed once it has ended
}

// spawn starts this program with other arguments; what it says goes into a file of its name.
func (h *harness) spawn(name string, args ...string) (*child, error) {
	said, err := os.OpenFile(filepath.Join(h.dir, name+".out"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = said.Close() }()
	c := &child{name: name, cmd: exec.Command(h.opts.Program, args...), gone: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = said, said
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.gone)
	}()
	return c, nil
}

func (h *harness) play(r Role) (*child, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Name, err)
	}
	return h.spawn(r.Name, h.opts.Child, string(body))
}

// ready says whether the process has written that it is.
func (c *child) ready(dir string) bool {
	body, err := os.ReadFile(history.Path(dir, c.name))
	return err == nil && bytes.Contains(body, fmt.Appendf(nil, `"ev":%q,"by":%q,"pid":%d}`, history.Ready, c.name, c.cmd.Process.Pid))
}

func (c *child) signal(s syscall.Signal) { _ = c.cmd.Process.Signal(s) }

// kill ends it at once and waits.
func (c *child) kill() {
	c.signal(syscall.SIGKILL)
	<-c.gone
}
