package task_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/natsasync/natsasync/task"
)

type NewDoc struct{ ID, Title string }

var (
	Create = task.Define[NewDoc, string]("doc.create", task.InQueue("docs"))
	Submit = task.Define[string, task.None]("doc.submit", task.InQueue("docs"))
	Alert  = task.Define[task.Failure, task.None]("mail.alert")
)

func ExampleDefine() {
	call := Create.On("/plone/folder", NewDoc{ID: "foo", Title: "Foo"}).With(task.Timeout(time.Minute))
	s := call.Spec()
	o := s.Effective()
	fmt.Println(s.Task, s.Object, o.Queue, o.Timeout)
	// Output: doc.create /plone/folder docs 1m0s
}

func ExampleCall_OnSuccess() {
	call := Create.On("/plone/folder", NewDoc{ID: "foo"}).OnSuccess(Submit).OnFailure(Alert.At("/plone"))
	for _, c := range call.Spec().Callbacks {
		fmt.Println(c.Task, "after success:", c.When.Runs(task.Succeeded), "after failure:", c.When.Runs(task.Failed))
	}
	// Output:
	// doc.submit after success: true after failure: false
	// mail.alert after success: false after failure: true
}

func ExampleFailure() {
	// What a handler returned comes back as a value, after the wire.
	var err error = task.FailureOf(fmt.Errorf("submit foo: %w", task.ErrUnauthorized))
	fmt.Println(errors.Is(err, task.ErrUnauthorized), errors.Is(err, task.ErrTimeout))
	if f, ok := errors.AsType[*task.Failure](err); ok {
		fmt.Println(f.Code, "-", f.Message)
	}
	// Output:
	// true false
	// unauthorized - submit foo: task: the user may not do this
}

func ExampleFail() {
	outOfStock := task.Fail("out_of_stock", "")
	err := task.FailureOf(task.Fail("out_of_stock", "no more chairs"))
	fmt.Println(errors.Is(err, outOfStock), err)
	// Output: true no more chairs
}

func ExampleResult() {
	value, err := task.Marshal(42)
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := task.Result[int](task.Outcome{End: task.Succeeded, Value: value})
	fmt.Println(n, err)
	_, err = task.Result[int](task.Outcome{End: task.Cancelled})
	fmt.Println(err, errors.Is(err, task.ErrCancelled))
	// Output:
	// 42 <nil>
	// the job was cancelled true
}

func ExampleParseObject() {
	o, err := task.ParseObject("/plone/folder")
	fmt.Println(o, err)
	_, err = task.ParseObject("/plone/../secret")
	fmt.Println(err)
	// Output:
	// /plone/folder <nil>
	// object "/plone/../secret": paths are clean, without . and .. (resolve it first)
}

func ExampleNote() {
	// Outside a worker a note goes nowhere, so that a handler can be called in a test.
	ctx := context.Background()
	fmt.Println(task.Note(ctx, "page", 7))
	fmt.Println(task.Note(ctx, "Page", 7))
	// Output:
	// <nil>
	// note "Page": keys are like names of tasks: task: name "Page": names are parts of a-z, 0-9, _ and -, joined by dots (try "page")
}
