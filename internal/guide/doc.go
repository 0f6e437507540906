// Package guide is the original's user guide, step by step, as a program: a small site
// with folders, documents and users, the tasks that work on it, and the story that its
// users know by heart. The demo tells it and the tests of package integration check
// it, both from here.
package guide
