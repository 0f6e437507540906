package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

// which registers patterns whose objects are their own texts, and returns a function
// that tells which of them has a path.
func which(t testing.TB, patterns ...string) func(task.Object) string {
	t.Helper()
	reg := registry.New()
	for _, p := range patterns {
		registry.Objects(reg, p, func(context.Context, task.Object) (page, error) { return page{p}, nil })
	}
	name := task.Define[task.None, string]("which")
	registry.Handle(reg, name, func(_ context.Context, p page, _ task.None) (string, error) { return p.title, nil })
	return func(obj task.Object) string {
		value, err := reg.Run(context.Background(), "which", obj, nil)
		if errors.Is(err, task.ErrNoSuchObject) {
			return "none"
		}
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := task.Unmarshal(value, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
}

func TestTheMostSpecificPatternHasThePathWhateverTheOrder(t *testing.T) {
	t.Parallel()
	patterns := []string{
		"/{all...}", "/", "/plone/{path...}", "/plone/news", "/plone/{id}", "/plone/{id}/edit",
		"/plone/news/edit", "/plone/blog/2026/{rest...}", "/wiki/{page}", "/wiki/help/{topic...}", "/shop/{shop}/{item...}",
	}
	rapid.Check(t, func(rt *rapid.T) {
		has := which(t, rapid.Permutation(patterns).Draw(rt, "order")...)
		for path, want := range map[task.Object]string{
			"/":                  "/",
			"/other":             "/{all...}",
			"/plone":             "/plone/{path...}",
			"/plone/news":        "/plone/news",
			"/plone/newsletter":  "/plone/{id}",
			"/plone/x/y":         "/plone/{path...}",
			"/plone/x/edit":      "/plone/{id}/edit",
			"/plone/news/edit":   "/plone/news/edit",
			"/plone/news/2026":   "/plone/{path...}",
			"/plone/blog/2026/x": "/plone/blog/2026/{rest...}",
			"/wiki/start":        "/wiki/{page}",
			"/wiki/help":         "/wiki/help/{topic...}",
			"/wiki/help/links":   "/wiki/help/{topic...}",
			"/plone/x/edit/more": "/plone/{path...}",
			"/shop":              "/{all...}",
			"/shop/a":            "/shop/{shop}/{item...}",
			"/shop/a/b/c":        "/shop/{shop}/{item...}",
		} {
			if got := has(path); got != want {
				rt.Errorf("%s went to %s, want %s", path, got, want)
			}
		}
	})
}

func TestAPathThatNoPatternMatchesIsNoSuchObject(t *testing.T) {
	t.Parallel()
	has := which(t, "/plone/{id}", "/shop/{item...}")
	for _, path := range []task.Object{"/", "/plone", "/plone/a/b", "/plon", "/shops", "/x"} {
		if got := has(path); got != "none" {
			t.Errorf("%s went to %s", path, got)
		}
	}
}

func TestPatternsThatQuarrelPanicWithBothPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"/plone/{a}", "/plone/{b}"},
		{"/plone/{a...}", "/plone/{b...}"},
		{"/plone", "/plone"},
		{"/a/{x}", "/{y}/b"},
		{"/{x}/b", "/a/{rest...}"},
		{"/{x}/{y}", "/a/{rest...}"},
	} {
		for _, order := range [][2]string{c, {c[1], c[0]}} {
			said := panics(t, func() { which(t, order[0], order[1]) })
			mentions(t, said, `"`+order[0]+`"`, `"`+order[1]+`"`, "objects_test.go:")
			if strings.Count(said, "objects_test.go:") != 2 {
				t.Errorf("%q does not name two places", said)
			}
		}
	}
}

func TestPatternsThatAreNonePanic(t *testing.T) {
	t.Parallel()
	for pattern, says := range map[string]string{
		"":                 "begin with a slash",
		"plone":            "begin with a slash",
		"/plone/":          "slash",
		"/plone//x":        "slash",
		"/plone/../x":      "clean",
		"/{path...}/x":     "at the end only",
		"/{a}/{a}":         "rename one",
		"/x{a}":            "whole part",
		"/{a}x":            "whole part",
		"/{}":              "whole part",
		"/{...}":           "whole part",
		"/{a-b}":           "letters",
		"/{1a}":            "letters",
		"/{a":              "whole part",
		"/a}":              "whole part",
		"/plone/{path}...": "whole part",
	} {
		mentions(t, panics(t, func() { which(t, pattern) }), says, "objects_test.go:")
	}
}

func TestWildcardsTellWhatTheyStandFor(t *testing.T) {
	t.Parallel()
	values := task.Define[task.None, []string]("values")
	reg := registry.New()
	var inObjects string
	registry.Objects(reg, "/{site}/docs/{path...}", func(ctx context.Context, obj task.Object) (*folder, error) {
		inObjects = registry.PathValue(ctx, "site")
		return openFolder(ctx, obj)
	})
	registry.Handle(reg, values, func(ctx context.Context, f *folder, _ task.None) ([]string, error) {
		return []string{registry.PathValue(ctx, "site"), f.name, registry.PathValue(ctx, "other"), registry.PathValue(ctx, "")}, nil
	})
	for path, want := range map[task.Object]string{
		"/plone/docs":       "plone|||",
		"/plone/docs/a":     "plone|a||",
		"/shop/docs/a/b/cé": "shop|a/b/cé||",
	} {
		value, err := reg.Run(t.Context(), "values", path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := task.Unmarshal(value, &got); err != nil {
			t.Fatal(err)
		}
		if joined := strings.Join(got, "|"); joined != want {
			t.Errorf("%s: %s, want %s", path, joined, want)
		}
		if !strings.HasPrefix(want, inObjects+"|") {
			t.Errorf("%s: Objects saw the site %q", path, inObjects)
		}
	}
	if got := registry.PathValue(t.Context(), "site"); got != "" {
		t.Errorf("outside an attempt the site is %q", got)
	}
}

func TestATaskOnObjectsNeedsAnObjectAndOneOnPathsDoesNot(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Objects(reg, "/{path...}", openFolder)
	registry.Handle(reg, rename, func(_ context.Context, f *folder, _ string) (string, error) { return f.path, nil })
	var got []task.Object
	registry.Handle(reg, touch, func(ctx context.Context, obj task.Object, _ task.None) (task.None, error) {
		got = append(got, obj)
		if v := registry.PathValue(ctx, "path"); v != "" {
			t.Errorf("the path of %s was resolved to %q", obj, v)
		}
		return task.None{}, nil
	})

	_, err := reg.Run(t.Context(), "doc.rename", "", encode(t, "x"))
	if !errors.Is(err, task.ErrNoSuchObject) {
		t.Fatalf("error %v, want no such object", err)
	}
	mentions(t, err.Error(), "doc.rename", "names none")
	for _, obj := range []task.Object{"", "/nowhere/registered"} {
		if _, err := reg.Run(t.Context(), "doc.touch", obj, nil); err != nil || got[len(got)-1] != obj {
			t.Errorf("object %q: got %q, error %v", obj, got, err)
		}
	}
}

type titled interface{ Title() string }

func (p *page) Title() string { return p.title }

func TestObjectsOfSeveralTypesGoToTheTasksThatFit(t *testing.T) {
	t.Parallel()
	show := task.Define[task.None, string]("show")
	list := task.Define[task.None, string]("list")
	reg := registry.New()
	registry.Objects(reg, "/any/{kind}", func(ctx context.Context, obj task.Object) (any, error) {
		switch registry.PathValue(ctx, "kind") {
		case "page":
			return &page{"a page"}, nil
		case "folder":
			return &folder{name: "a folder"}, nil
		case "typed-nil":
			return (*page)(nil), nil
		}
		return nil, nil
	})
	registry.Objects(reg, "/pages/{id}", func(context.Context, task.Object) (*page, error) { return &page{"a page"}, nil })
	registry.Handle(reg, show, func(_ context.Context, p titled, _ task.None) (string, error) { return p.Title(), nil })
	registry.Handle(reg, list, func(_ context.Context, f *folder, _ task.None) (string, error) { return f.name, nil })

	for _, c := range []struct {
		task string
		obj  task.Object
		want error
	}{
		{"show", "/any/page", nil},
		{"show", "/pages/1", nil},
		{"list", "/any/folder", nil},
		{"list", "/any/page", task.ErrBadInput},
		{"show", "/any/folder", task.ErrBadInput},
		{"list", "/pages/1", task.ErrBadInput},
		{"show", "/any/nil", task.ErrNoSuchObject},
		{"show", "/any/typed-nil", task.ErrNoSuchObject},
	} {
		_, err := reg.Run(t.Context(), c.task, c.obj, nil)
		if !errors.Is(err, c.want) {
			t.Errorf("%s on %s: error %v, want %v", c.task, c.obj, err, c.want)
		}
	}
}
