package trust_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
)

// The account of the streams sees who works and which gateway runs, as "nats service ls" asks, though each is in an
// account of its own.
func TestAnAdministratorSeesWorkersAndGateways(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			f.openGateway()
			nc := f.js.Conn()
			answers, err := nc.SubscribeSync(nc.NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.PublishRequest("$SRV.INFO", answers.Subject, nil); err != nil {
				t.Fatal(err)
			}
			want := []string{"natsasync-gateway", "natsasync-worker"}
			var seen []string
			for deadline := time.Now().Add(patience); len(seen) < len(want); {
				m, err := answers.NextMsg(time.Until(deadline))
				if err != nil {
					t.Fatalf("saw %v, want %v: %v", seen, want, err)
				}
				var info micro.Info
				if err := json.Unmarshal(m.Data, &info); err != nil {
					t.Fatalf("%s: %v", m.Data, err)
				}
				seen = append(seen, info.Name)
			}
			if slices.Sort(seen); !slices.Equal(seen, want) {
				t.Errorf("saw %v, want %v", seen, want)
			}
		})
	}
}
