package main

func Example() {
	main()
	// Output:
	// alice: user 1 published "Snow" as document 1
	// alice, where she may look alone: unauthorized
	// bob, who may look alone: unauthorized
	// carol: user 3 published "Snow" as document 2
	// a document that is gone: no_such_object
	// one that was moved: no_such_object
	// carol, disabled: no_such_object
	// alice, renamed: unauthorized
	// bob, with a right that he has now: user 2 published "Snow" as document 1
	// alice, deleted: no_such_user
}
