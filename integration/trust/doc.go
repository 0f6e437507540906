// Package trust tries to queue, to record and to read in another's name.
package trust
