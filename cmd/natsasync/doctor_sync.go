package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// syncView is the part of a server's jsz answer that says when writes reach the disk.
type syncView struct {
	Config struct {
		SyncAlways   bool          `json:"sync_always"`
		SyncInterval time.Duration `json:"sync_interval"`
	} `json:"config"`
}

// syncPolicy asks the server's monitor, or the system account if the login is in it.
func (d *doctor) syncPolicy(ctx context.Context, monitor string) {
	view, err := d.askSync(ctx, monitor)
	switch {
	case err != nil && monitor != "":
		d.found(finding{warning, "sync", "whether writes are synced is not known: " + err.Error(), "", "give the server's monitoring address, like http://127.0.0.1:8222"})
	case err != nil:
		d.found(finding{
			note, "sync", "whether writes are synced is not known: " + err.Error(),
			"natsasync server --store-dir syncs each write, nats-server every two minutes unless told to: --monitor http://HOST:8222 tells", "",
		})
	case view.Config.SyncAlways:
		d.ok("sync", "every write reaches the disk before it is acknowledged")
	default:
		d.found(finding{
			warning, "sync", fmt.Sprintf("writes are synced every %v", view.Config.SyncInterval),
			"a power cut of a single server can take acknowledged jobs of that time; the death of the process alone cannot",
			`set "sync_interval: always" in the server's jetstream block, or run three nodes`,
		})
	}
}

func (d *doctor) askSync(ctx context.Context, monitor string) (*syncView, error) {
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if monitor != "" {
		return askMonitor(short, monitor)
	}
	subject := "$SYS.REQ.SERVER." + d.nc.ConnectedServerId() + ".JSZ"
	if !d.may(ctx, subject) {
		return nil, errors.New("this login may not ask")
	}
	msg, err := d.nc.RequestWithContext(short, subject, nil)
	if err != nil {
		return nil, errors.New("this login may not ask")
	}
	var answer struct {
		Data *syncView `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Data == nil {
		return nil, errors.New("the server's answer cannot be read")
	}
	return answer.Data, nil
}

func askMonitor(ctx context.Context, monitor string) (*syncView, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(monitor, "/")+"/jsz?config=true", nil)
	if err != nil {
		return nil, fmt.Errorf("--monitor: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("--monitor: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("--monitor: %w", err)
	}
	var view syncView
	if err := json.Unmarshal(body, &view); err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("--monitor %s: it answers %s and no JetStream state", monitor, response.Status)
	}
	return &view, nil
}
