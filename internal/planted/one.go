//go:build planted

package planted

import "os"

// Bug is the one that is built in.
var Bug = os.Getenv("NATSASYNC_PLANTED")
