// Package integration holds tests alone: the guarantees of the design, attacked with
// real processes, cut wires, killed servers and clusters that lose a node. Files are
// named for the promise that they try to break.
package integration
