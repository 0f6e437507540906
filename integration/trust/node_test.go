package trust_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natsasync/natsasync/task"
)

// node runs the client that was written from the page of the wire format alone, in another language.
func (f *fort) node(name, mode string, more map[string]any, result any) {
	f.t.Helper()
	program, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("node", "node_modules", "nats"))
	}
	if err != nil {
		if os.Getenv("NATSASYNC_NODE") != "" {
			f.t.Fatalf("node must be there, with its packages: %v", err)
		}
		f.t.Skipf("node is not there, or its packages are not (make node): %v", err)
	}
	ask := map[string]any{
		"url": f.server.URL(), "seed": string(f.seeds[name]), "name": name, "api": "NATSASYNC.API", "installation": f.broker.Installation(),
		"workers": []string{f.docs.Public()}, "mode": mode, "user": []string{alice.Realm, alice.ID}, "task": say.Name(), "input": "from node",
	}
	for k, v := range more {
		ask[k] = v
	}
	in, err := json.Marshal(ask)
	if err != nil {
		f.t.Fatal(err)
	}
	c := exec.CommandContext(f.t.Context(), program, filepath.Join("node", "client.mjs"))
	var out, wrong bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(in), &out, &wrong
	if err := c.Run(); err != nil {
		f.t.Fatalf("node: %v\n%s", err, wrong.String())
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		f.t.Fatalf("node says %q: %v", out.String(), err)
	}
}

func TestAClientInAnotherLanguageQueuesAndWaits(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	var got struct {
		ID, Owner, Again, End, Value string
		User                         []string
		Seq                          uint64
	}
	f.node("alice", "job", nil, &got)
	if got.Value != "from node" || got.End != "succeeded" || got.Owner != alice.Owner() || got.Seq == 0 || len(got.User) != 2 || got.User[1] != "alice" {
		t.Errorf("node sees %+v", got)
	}
	if n := f.count("say from node alice"); n != 1 {
		t.Errorf("the job ran %d times as alice", n)
	}
}

func TestAClientInAnotherLanguageIsNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	f.employ()
	theirs := queue(f.site, f.client("web"), bob, say.On("", "bob's"))
	succeeds(f.site, f.seen(theirs))
	tries := map[string]struct {
		Subject string
		Took    bool
	}{}
	f.node("alice", "harm", map[string]any{"victim": []string{bob.Realm, bob.ID}, "job": theirs.ID()}, &tries)
	codes := map[string]string{ // "" is denied by the server
		"unsigned": "unsigned", "in another's name, on my subject": "subject", "changed after it was signed": "signature",
		"signed for another lane": "signature", "made for another installation": "installation",
		"a bomb of an array": "truncated", "a bomb of a map": "truncated", "nested without end": "depth", "nothing": "empty",
		"a reserved byte": "format", "JSON": "format", "a list": "type",
		"in another's name, on their subject": "", "record an outcome": "", "cancel their job": "", "read their outcome": "", "read any outcome": "", "empty the queues": "",
	}
	for name, want := range codes {
		try, there := tries[name]
		switch {
		case !there:
			t.Errorf("%s: not tried", name)
		case want == "" && try.Took:
			t.Errorf("%s: the server took it", name)
		case want != "" && !try.Took:
			t.Errorf("%s: the server did not take it, so that nobody looked at it", name)
		case want != "":
			if code := f.refused(try.Subject); code != want {
				t.Errorf("%s: put aside as %q, want %q", name, code, want)
			}
		}
	}
	if len(tries) != len(codes) {
		t.Errorf("%d things were tried, %d are known", len(tries), len(codes))
	}
	for _, ran := range f.history() {
		if strings.Contains(ran, "from node") {
			t.Errorf("%q ran", ran)
		}
	}
	if o, err := f.seen(theirs).Outcome(t.Context()); err != nil || o == nil || o.End != task.Succeeded {
		t.Errorf("bob's outcome is %v, %v", o, err)
	}
	began := time.Now()
	succeeds(f.site, f.seen(queue(f.site, f.client("web"), bob, say.On("", "after it"))))
	if took := time.Since(began); took > atOnce {
		t.Errorf("an honest job took %v", took)
	}
}
