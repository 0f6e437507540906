// Package embedded runs a NATS server with JetStream inside this process.
//
// [Start] is enough for most programs and for every test: a Config without
// anything in it is a throw-away server that opens no socket and takes its
// streams with it when it is shut down. With a StoreDir the streams stay, every
// write is on the disk before it is acknowledged, and the directory is locked,
// so that a second server cannot write over the first one's.
//
// [StartCluster] runs several nodes in one process. It is there to try what a
// program does when a node goes away; a real cluster has a machine a node.
//
// # What to expect
//
// When Start returns, the server takes connections and its streams are
// recovered. When StartCluster returns, the nodes have found each other and
// elected a leader, so that a stream with one replica a node can be made.
//
// Nothing here ends the process or takes over its signals: whatever the server
// calls fatal is the error of Start. Its log lines go to Config.Logger.
//
// [Server.Reload] changes accounts, logins and limits of a server that runs.
//
// Close your connections before you call Shutdown: a connection that is left
// open tries to reconnect, for as long as its options say. Shutdown returns
// when the server's goroutines have ended and its files are closed.
//
// This package links the whole server. Programs that only queue or run jobs on
// somebody else's server do not import it.
package embedded
