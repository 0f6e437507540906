package integration_test

import (
	"path/filepath"
	"testing"
	"time"
)

// newHostOn is newHost with the server's files on a disk of its own.
func newHostOn(t *testing.T, d *disk, sync bool) *host {
	t.Helper()
	h := &host{t: t, role: role{
		Part: "server", Store: filepath.Join(d.dir, "store"), Sync: sync, Port: freePort(t), History: filepath.Join(t.TempDir(), "servers"),
	}}
	h.history = &history{path: h.role.History}
	h.again()
	return h
}

// losePower takes the power from the disk and kills the server in the same moment.
func (h *host) losePower(d *disk) {
	h.t.Helper()
	h.process.freeze(h.t) // it answers nothing that the disk has not
	d.cutPower()
	h.process.kill()
	h.process.gone(h.t)
	d.restore()
}

func TestF16APowerCutLosesNothingThatWasAccepted(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 256)
	h := newHostOn(t, d, true)
	c := cellOn(t, h.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	const between = 40 // jobs
	cuts := rounds(3, 20)
	ids, names, free := c.load(cuts*between/2, func(accepted int) {
		if accepted%between == between/2 {
			h.losePower(d)
			h.again()
		}
	})
	c.survived(ids, names, free)
	if h.started != cuts+1 {
		t.Errorf("the server was started %d times, want %d", h.started, cuts+1)
	}
	t.Logf("%d jobs over %d power cuts", len(ids)+len(free), cuts)
}

// The schedule under which a cluster with NATS's default sync has been seen to lose messages: one node loses its power,
// others are paused. Here every write is synced.
func TestF18AClusterLosesNothingWhenANodeLosesItsPowerAndOthersArePaused(t *testing.T) {
	t.Parallel()
	if !soaking() {
		t.Skip("make soak tries this: elections take their time")
	}
	var disks []*disk
	for range 3 {
		disks = append(disks, newDisk(t, 256))
	}
	f := newFleet(t, func(i int, r *role) { r.Store, r.Sync = filepath.Join(disks[i].dir, "store"), true })
	c := cellOn(t, f.url(), shortLease)
	c.hire("first").begin()
	c.hire("second").begin()
	const between = 60 // jobs
	cuts := rounds(0, 6)
	ids, names, free := c.load(cuts*between/2, func(accepted int) {
		if accepted%between != between/2 {
			return
		}
		round := accepted / between
		off, paused, later := f.nodes[round%3], f.nodes[(round+1)%3], f.nodes[(round+2)%3]
		paused.process.freeze(t)
		off.losePower(disks[round%3])
		off.again()
		time.Sleep(time.Second)
		later.process.freeze(t)
		paused.process.thaw(t)
		time.Sleep(3 * time.Second)
		later.process.thaw(t)
	})
	c.survived(ids, names, free)
	t.Logf("%d jobs over %d power cuts", len(ids)+len(free), cuts)
}
