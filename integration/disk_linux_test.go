package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// disk is a file system of its own in a file, which can lose its power.
type disk struct {
	t          *testing.T
	image, dir string
}

// newDisk makes one of so many MiB, or skips the test where that cannot be done.
func newDisk(t *testing.T, size int64) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk of its own needs root: to mount it")
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a disk of its own needs %s", program)
		}
	}
	base := t.TempDir()
	d := &disk{t, filepath.Join(base, "image"), filepath.Join(base, "disk")}
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := d.run("mount", "-o", "loop", d.image, d.dir); err != nil {
		t.Skipf("a disk of its own needs a loop device: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := d.run("umount", d.dir); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return d
}

func (d *disk) run(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

// cutPower ends all writes at once: what was not synced is gone. Whoever has files open
// there must be gone before restore.
func (d *disk) cutPower() {
	d.t.Helper()
	const (
		shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noFlush  = 2          // the journal is not written either
	)
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(noFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("cut the power of a disk: %v", errno)
	}
}

// restore mounts it again, as a machine does that starts.
func (d *disk) restore() {
	d.t.Helper()
	if out, err := d.run("umount", d.dir); err != nil {
		d.t.Fatalf("umount: %v: %s", err, out)
	}
	if out, err := d.run("mount", "-o", "loop", d.image, d.dir); err != nil {
		d.t.Fatalf("mount: %v: %s", err, out)
	}
}

// fill leaves no room; the returned function makes it again.
func (d *disk) fill() (empty func()) {
	d.t.Helper()
	name := filepath.Join(d.dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for size := int64(1 << 30); size >= 1<<12; size /= 2 {
		for syscall.Fallocate(int(f.Fd()), 0, at, size) == nil {
			at += size
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			d.t.Fatal(err)
		}
	}
}
