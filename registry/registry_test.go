package registry_test

import (
	"context"
	"regexp"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natsasync/natsasync/registry"
	"github.com/natsasync/natsasync/task"
)

func TestARegistryKnowsItsTasksSorted(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, touch, nothing)
	registry.Handle(reg, add, sum)
	reg.HandleRaw("cli.echo", func(_ context.Context, _ task.Object, in []byte) ([]byte, error) { return in, nil })

	for range 2 {
		if diff := cmp.Diff([]string{"cli.echo", "doc.touch", "math.add"}, reg.Names()); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		if !reg.Knows("math.add") || reg.Knows("math.sub") {
			t.Errorf("knows math.add: %v, math.sub: %v; want true, false", reg.Knows("math.add"), reg.Knows("math.sub"))
		}
		reg.Seal()
	}
}

func TestASecondFunctionForATaskPanicsWithBothPlaces(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	registry.Handle(reg, add, sum)
	said := panics(t, func() { registry.Handle(reg, add, sum) })
	mentions(t, said, `"math.add"`)
	if places := regexp.MustCompile(`\bregistry_test\.go:\d+`).FindAllString(said, -1); len(places) != 2 || places[0] == places[1] {
		t.Errorf("%q names the places %q, want two", said, places)
	}
}

func TestWrongRegistrationsPanic(t *testing.T) {
	t.Parallel()
	raw := func(context.Context, task.Object, []byte) ([]byte, error) { return nil, nil }
	for story, c := range map[string]struct {
		do   func(*registry.Registry)
		says []string
	}{
		"a name that is none": {
			func(r *registry.Registry) { r.HandleRaw("Doc Create", raw) },
			[]string{`"Doc Create"`, `try "doc-create"`, "registry_test.go:"},
		},
		"a name that is taken by batches": {
			func(r *registry.Registry) { r.HandleRaw("batch.serial", raw) },
			[]string{`"batch.serial"`, "taken"},
		},
		"a definition that was never defined": {
			func(r *registry.Registry) { registry.Handle(r, task.Definition[task.None, task.None]{}, nothing) },
			[]string{`name ""`},
		},
		"no function": {
			func(r *registry.Registry) { registry.Handle[task.Object](r, touch, nil) },
			[]string{`"doc.touch"`, "nil"},
		},
		"no raw function": {
			func(r *registry.Registry) { r.HandleRaw("cli.echo", nil) },
			[]string{`"cli.echo"`, "nil"},
		},
		"no middleware": {
			func(r *registry.Registry) { r.Use(nil) },
			[]string{"middleware", "nil"},
		},
		"a permission without a name": {
			func(r *registry.Registry) { registry.Handle(r, touch, nothing, registry.Require("")) },
			[]string{`permission ""`, "registry_test.go:"},
		},
		"no users function": {
			func(r *registry.Registry) { registry.Users(r, nil) },
			[]string{"users", "nil"},
		},
		"users twice": {
			func(r *registry.Registry) {
				registry.Users(r, everybody(rights{}))
				registry.Users(r, everybody(rights{}))
			},
			[]string{"registered already", "registry_test.go:"},
		},
		"no objects function": {
			func(r *registry.Registry) { registry.Objects[*folder](r, "/plone", nil) },
			[]string{`"/plone"`, "nil"},
		},
		"after sealing": {
			func(r *registry.Registry) {
				r.Seal()
				registry.Handle(r, touch, nothing)
			},
			[]string{"registry_test.go:", "before consumer.New"},
		},
	} {
		t.Run(story, func(t *testing.T) {
			t.Parallel()
			mentions(t, panics(t, func() { c.do(registry.New()) }), c.says...)
		})
	}
}

func TestATaskOnObjectsThatNobodyMakesPanicsWhenSealed(t *testing.T) {
	t.Parallel()
	onFolder := func(_ context.Context, _ *folder, name string) (string, error) { return name, nil }

	reg := registry.New()
	registry.Handle(reg, rename, onFolder)
	mentions(t, panics(t, reg.Seal), `"doc.rename"`, "*registry_test.folder", "there are none", "registry_test.go:")

	registry.Objects(reg, "/pages/{id}", func(context.Context, task.Object) (*page, error) { return &page{}, nil })
	mentions(t, panics(t, reg.Seal), `"doc.rename"`, `"/pages/{id}"`, "*registry_test.page")

	registry.Objects(reg, "/plone/{path...}", openFolder)
	reg.Seal()
	reg.Seal()
}

func TestARegistryIsFilledAndReadFromManyGoroutines(t *testing.T) {
	t.Parallel()
	reg := registry.New()
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			reg.HandleRaw(name, func(_ context.Context, _ task.Object, in []byte) ([]byte, error) { return in, nil })
			reg.Knows(name)
			reg.Names()
		})
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() {
			for _, name := range reg.Names() {
				if _, err := reg.Run(t.Context(), name, "", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(reg.Names()); got != 6 {
		t.Errorf("%d tasks, want 6", got)
	}
}
