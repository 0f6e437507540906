package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestTheMonitorTellsTheSyncPolicy(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]syncView{
		`{"config":{"sync_always":true,"sync_interval":120000000000}}`: viewOf(true, 2*time.Minute),
		`{"config":{"sync_interval":120000000000}}`:                    viewOf(false, 2*time.Minute),
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/jsz" || r.URL.Query().Get("config") != "true" {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write([]byte(body))
		}))
		got, err := askMonitor(t.Context(), srv.URL+"/")
		srv.Close()
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestAMonitorThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	if _, err := askMonitor(t.Context(), srv.URL); err == nil || !strings.Contains(err.Error(), "--monitor "+srv.URL) || !strings.Contains(err.Error(), "404") {
		t.Errorf("the error is %v", err)
	}
}

func viewOf(always bool, interval time.Duration) syncView {
	var v syncView
	v.Config.SyncAlways, v.Config.SyncInterval = always, interval
	return v
}

func TestALimitIsToldBeforeItIsReached(t *testing.T) {
	t.Parallel()
	var a jetstream.AccountInfo
	a.Store, a.Consumers, a.Streams = 790, 100, 5
	a.Limits.MaxStore, a.Limits.MaxConsumers, a.Limits.MaxStreams = 1000, -1, 0
	if got := limitsOf(&a); len(got) != 0 {
		t.Errorf("below all limits it tells %+v", got)
	}
	a.Store, a.Limits.MaxConsumers, a.Limits.MaxStreams = 800, 110, 5
	got := limitsOf(&a)
	if len(got) != 3 || got[0].Severity != warning || got[0].Found != "the account has 800 of 1000 bytes of files" || got[0].Means == "" || got[0].Fix == "" {
		t.Errorf("it tells %+v", got)
	}
}

func TestANodeThatCatchesUpIsNotSaidToBeAway(t *testing.T) {
	t.Parallel()
	away := lacking(&jetstream.PeerInfo{Name: "n2", Offline: true}, "NATSASYNC_JOBS")
	if away.Severity != critical || away.Found != "node n2 of stream NATSASYNC_JOBS is away" || !strings.Contains(away.Fix, "bring the node back") {
		t.Errorf("of one that is away it tells %+v", away)
	}
	behind := lacking(&jetstream.PeerInfo{Name: "n2"}, "NATSASYNC_JOBS")
	if behind.Severity != critical || !strings.Contains(behind.Found, "still catching up") || !strings.Contains(behind.Fix, "look again in a minute") {
		t.Errorf("of one that is behind it tells %+v", behind)
	}
}
