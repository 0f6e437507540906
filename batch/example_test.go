package batch_test

import (
	"fmt"

	"github.com/natsasync/natsasync/batch"
	"github.com/natsasync/natsasync/task"
)

func ExampleSerial() {
	makeDoc := task.Define[string, string]("doc.create")
	submit := task.Define[string, string]("doc.submit")
	index := task.Define[task.None, task.None]("doc.index")
	const at = task.Object("/plone/folder")

	call := batch.Serial(
		makeDoc.On(at, "foo"),
		submit.On(at, "foo"),
		batch.Parallel(index.On(at, task.None{}), index.On("/plone", task.None{})),
	).With(task.InQueue("docs"))

	for _, member := range call.Spec().Members {
		fmt.Println(member.Task, member.Object)
	}
	// Output:
	// doc.create /plone/folder
	// doc.submit /plone/folder
	// batch.parallel
}

func ExampleResults() {
	path, err := task.Marshal("/plone/folder/foo")
	if err != nil {
		fmt.Println(err)
		return
	}
	// What waiting for a batch of two returns.
	results := batch.Results{
		{ID: "J.1", Task: "doc.create", End: task.Succeeded, Value: path},
		{ID: "J.2", Task: "doc.submit", End: task.Failed, Failure: &task.Failure{Code: "unauthorized", Message: "alice may not submit"}},
	}
	fmt.Println(task.Result[string](results[0]))
	fmt.Println(results.Err())
	// Output:
	// /plone/folder/foo <nil>
	// batch: member 2: alice may not submit
}
