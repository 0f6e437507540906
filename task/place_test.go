package task_test

import (
	"testing"

	"github.com/natsasync/natsasync/task"
)

// Of a job of a later version only its user can be read: its key must be one that may speak for them.
func TestWhatAKeyMayDoOfAUserAlone(t *testing.T) {
	t.Parallel()
	by, worker := newSigner(t), newSigner(t)
	p := by.Public()
	for _, c := range []struct {
		name  string
		key   task.Key
		user  task.User
		queue string
		code  string
	}{
		{"its user", task.Key{Public: p, Users: []task.User{bob, alice}}, alice, "docs", ""},
		{"another user", task.Key{Public: p, Users: []task.User{alice}}, bob, "docs", "user"},
		{"nobody, with a user", task.Key{Public: p, Users: []task.User{alice}}, task.User{}, "docs", "user"},
		{"its realm", task.Key{Public: p, Realms: []string{alice.Realm}}, bob, "docs", ""},
		{"another realm", task.Key{Public: p, Realms: []string{"/elsewhere"}}, bob, "docs", "user"},
		{"nobody, with a realm", task.Key{Public: p, Realms: []string{alice.Realm}}, task.User{}, "docs", "user"},
		{"nobody", task.Key{Public: p, Anonymous: true}, task.User{}, "docs", ""},
		{"somebody", task.Key{Public: p, Anonymous: true}, alice, "docs", "user"},
		{"anyone: nobody", task.Key{Public: p, Anyone: true}, task.User{}, "docs", ""},
		{"its queue", task.Key{Public: p, Anyone: true, Queues: []string{"docs"}}, alice, "docs", ""},
		{"another queue", task.Key{Public: p, Anyone: true, Queues: []string{"docs"}}, alice, "mail", "queue"},
		{"a worker's key alone", task.Key{Public: p, Works: []string{"*"}}, alice, "docs", "user"},
	} {
		m, _ := letter(t, by, c.user, c.queue)
		proof, err := task.TrustKeys(c.key).Prove(m)
		if err == nil {
			err = proof.Place(c.queue, c.user)
		}
		if code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	keys := task.TrustKeys(task.Key{Public: p, Users: []task.User{alice}}, task.Key{Public: worker.Public(), Works: []string{"docs"}, Into: []string{"mail"}})
	for _, c := range []struct {
		name, queue string
		user        task.User
		code        string
	}{
		{"of a job, into its queue", "docs", alice, ""},
		{"of a job, into another that it may queue into", "mail", alice, ""},
		{"of a job, into another", "default", alice, "queue"},
		{"of a job of somebody else", "docs", bob, "user"},
	} {
		first, _ := letter(t, by, alice, "docs")
		m, _ := letter(t, worker, c.user, c.queue)
		m.Origin = []string{task.OriginOf(first.Signature, nil, first.Subject, first.Body)}
		m.Signature = []string{worker.Sign(m.Installation, m.Subject, m.Origin[0], m.Body, noon)}
		proof, err := keys.Prove(m)
		if err == nil {
			err = proof.Place(c.queue, c.user)
		}
		if code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

// Later versions may have other fields, of other forms, before and after the user.
func TestWhoseJobItIsStandsInEveryVersion(t *testing.T) {
	t.Parallel()
	user := []byte("\xa1u\x92\xa1r\xa5alice")
	for _, c := range []struct {
		name string
		body []byte
		user task.User
		code string
	}{
		{"nobody", []byte("\x81\xa1v\x02"), task.User{}, ""},
		{"a user", append([]byte("\x82\xa1v\x02"), user...), task.User{Realm: "r", ID: "alice"}, ""},
		{"after a number, a list and a long name", append([]byte("\x84\x07\x93\xa1u\xa1u\xa1u\xaba long name\xc0\xa1v\x02"), user...), task.User{Realm: "r", ID: "alice"}, ""},
		{"inside another value", append([]byte("\x82\xa1v\x02\xa1x\x81"), user...), task.User{}, ""},
		{"twice", append(append([]byte("\x83\xa1v\x02"), user...), user...), task.User{}, "duplicate"},
		{"of another form", []byte("\x82\xa1v\x02\xa1u\xa5alice"), task.User{}, "type"},
		{"a bad name", []byte("\x82\xa1v\x02\xa1u\x92\xa1r\xa0"), task.User{}, "name"},
		{"truncated", []byte("\x82\xa1v\x02\xa1u"), task.User{}, "truncated"},
		{"no map", []byte("\x02"), task.User{}, "type"},
	} {
		u, err := task.UserOf(c.body)
		if code(err) != c.code || err == nil && u != c.user {
			t.Errorf("%s: %v, %v, want %v, %q", c.name, u, err, c.user, c.code)
		}
	}
}
