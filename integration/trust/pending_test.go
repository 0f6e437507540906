package trust_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/task"
)

// A gateway and a producer of all users, with the logins that natsasync auth makes, count what waits: in its lanes, for
// its time, and what no worker has put off yet.
func TestLoginsCountWhatWaits(t *testing.T) {
	t.Parallel()
	for form, tokens := range map[string]bool{"configuration": false, "JWT": true} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			f := newFort(t, tokens)
			f.employ()
			queue(f.site, f.client("web"), bob, say.On("", "put off", task.InQueue("docs"), task.Delay(time.Hour)))
			for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				n, err := f.broker.Count(t.Context(), f.broker.Later(), f.broker.LaterJob("docs", "*", ">"))
				if err == nil && n == 1 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the job is not put off: %d, %v", n, err)
				}
			}
			limited := func(cfg *producer.Config) { cfg.MaxPending = 1 }
			f.openGateway(limited)
			cfg := producer.Config{BindOnly: true, Signer: f.signer("web"), Logger: quiet}
			limited(&cfg)
			web, err := producer.New(t.Context(), f.login("web"), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]*producer.Client{"the gateway": f.caller("carol"), "a producer": web} {
				succeeds(f.site, f.seen(queue(f.site, c, alice, say.On("", "there is room"))))
				if _, err := producer.Enqueue(as(t.Context(), alice), c, say.On("", "full", task.InQueue("docs"))); !errors.Is(err, producer.ErrQueueFull) {
					t.Errorf("%s: a job is put off in docs, and another is queued: %v", name, err)
				}
			}
			queue(f.site, f.client("web"), bob, say.On("", "nobody works mail", task.InQueue("mail"), task.Delay(time.Hour)))
			if _, err := producer.Enqueue(as(t.Context(), alice), web, say.On("", "full", task.InQueue("mail"))); !errors.Is(err, producer.ErrQueueFull) {
				t.Errorf("a job is to be put off in mail, and another is queued: %v", err)
			}
		})
	}
}

// A login of one user sees no queue: it hears so at its start, and not at each job.
func TestALoginThatMayNotCountHearsSoAtItsStart(t *testing.T) {
	t.Parallel()
	f := newFort(t, false)
	for what, cfg := range map[string]producer.Config{
		"bound": {Owner: alice}, "installation": {Installation: f.broker.Installation()},
	} {
		cfg.BindOnly, cfg.MaxPending, cfg.Logger = true, 7, quiet
		_, err := producer.New(t.Context(), f.login("alice"), cfg)
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `max pending "7"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
