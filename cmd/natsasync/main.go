// Command natsasync is the command line of natsasync: it runs a server, makes streams and queues, and shows and steers
// jobs. "natsasync --help" tells the rest.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
