// Command sql looks a job's user and their rights up in tables, each time that a job starts.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/natsasync/natsasync/examples/internal/site"
	"github.com/natsasync/natsasync/producer"
	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// A user's ID is a number that is never given to somebody else; a login name may be. A grant holds for what lies under
// its path.
const schema = `
create table users  (id integer primary key autoincrement, login text unique not null, disabled integer not null default 0);
create table grants (user_id integer not null references users, permission text not null, path text not null);
create table docs   (id integer primary key autoincrement, path text unique not null);
insert into users (login) values ('alice'), ('bob'), ('carol');
insert into grants values (1, 'View', '/plone'), (1, 'Publish', '/plone/news'), (2, 'View', '/plone'), (3, 'View', '/plone'), (3, 'Publish', '/plone');
insert into docs (path) values ('/plone/news'), ('/plone/shop');
`

var publish = task.Define[string, string]("doc.publish")

// principal is a user as the tables know them.
type principal struct {
	db *sql.DB
	id string
}

// Can asks the tables of now. An error of the database is no refusal: the job waits for it.
func (p principal) Can(ctx context.Context, permission string, obj task.Object) error {
	var paths string
	err := p.db.QueryRowContext(ctx, `select coalesce(group_concat(path, char(10)), '') from grants where user_id = ? and permission = ?`, p.id, permission).Scan(&paths)
	if err != nil {
		return err
	}
	for path := range strings.SplitSeq(paths, "\n") {
		if path != "" && (string(obj) == path || strings.HasPrefix(string(obj), path+"/")) {
			return nil
		}
	}
	return task.ErrUnauthorized
}

// users looks up whoever queued the job. One that is disabled has no rights any more, but is known.
func users(db *sql.DB) func(context.Context, task.User) (registry.Principal, error) {
	return func(ctx context.Context, u task.User) (registry.Principal, error) {
		if u.Anonymous() {
			return nil, nil
		}
		var disabled bool
		err := db.QueryRowContext(ctx, `select disabled from users where id = ?`, u.ID).Scan(&disabled)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, task.ErrNoSuchUser
		case err != nil:
			return nil, err
		case disabled:
			return nil, nil
		}
		return principal{db, u.ID}, nil
	}
}

// doc is what a path stands for.
type doc struct{ ID int }

func docs(db *sql.DB) func(context.Context, task.Object) (*doc, error) {
	return func(ctx context.Context, obj task.Object) (*doc, error) {
		var d doc
		err := db.QueryRowContext(ctx, `select id from docs where path = ?`, string(obj)).Scan(&d.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, task.ErrNoSuchObject
		}
		return &d, err
	}
}

func main() {
	if err := site.Run(play); err != nil {
		log.Fatal(err)
	}
}

func play(ctx context.Context, s *site.Site) error {
	db, err := sql.Open("sqlite", "file:site?mode=memory&cache=shared")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	reg := registry.New()
	registry.Users(reg, users(db))
	registry.Objects(reg, "/plone/{path...}", docs(db), registry.Require("View"))
	registry.Handle(reg, publish, func(ctx context.Context, d *doc, title string) (string, error) {
		job, _ := task.JobFrom(ctx)
		return fmt.Sprintf("user %s published %q as document %d", job.User.ID, title, d.ID), nil
	}, registry.Require("Publish"))
	if err := s.Work(ctx, reg); err != nil {
		return err
	}
	tell := func(what, id string, at task.Object) error {
		job, err := producer.Enqueue(task.WithUser(ctx, task.User{ID: id}), s.Client, publish.On(at, "Snow"))
		if err != nil {
			return err
		}
		out, err := job.Wait(ctx)
		var failed *task.Failure
		if errors.As(err, &failed) {
			out, err = failed.Code, nil
		}
		fmt.Printf("%s: %s\n", what, out)
		return err
	}
	for _, try := range []struct {
		what, id, change string
		at               task.Object
	}{
		{"alice", "1", "", "/plone/news"},
		{"alice, where she may look alone", "1", "", "/plone/shop"},
		{"bob, who may look alone", "2", "", "/plone/news"},
		{"carol", "3", "", "/plone/shop"},
		{"a document that is gone", "3", `delete from docs where path = '/plone/shop'`, "/plone/shop"},
		{"one that was moved", "3", `update docs set path = '/plone/archive' where path = '/plone/news'`, "/plone/news"},
		{"carol, disabled", "3", `update users set disabled = 1 where id = 3`, "/plone/archive"},
		{"alice, renamed", "1", `update users set login = 'alicia' where id = 1`, "/plone/archive"},
		{"bob, with a right that he has now", "2", `insert into grants values (2, 'Publish', '/plone')`, "/plone/archive"},
		{"alice, deleted", "1", `delete from users where id = 1`, "/plone/archive"},
	} {
		if _, err := db.ExecContext(ctx, try.change); err != nil {
			return err
		}
		if err := tell(try.what, try.id, try.at); err != nil {
			return err
		}
	}
	return nil
}
