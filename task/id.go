package task

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewID makes the ID of a job: a ULID, so that IDs sort by the time at which they
// were made, with random bits from crypto/rand.
func NewID() string { return idAt(time.Now()) }

// idAt is for a clock before 1970 too, which a ULID cannot tell.
func idAt(now time.Time) string {
	return ulid.MustNew(uint64(max(now.UnixMilli(), 0)), rand.Reader).String()
}

// MemberID is the ID of member n of the batch id, counted from 1: "ID.3".
func MemberID(id string, n int) string { return id + "." + strconv.Itoa(n) }

// CallbacksID is the ID of the serial batch that holds the callbacks of id: "ID.cb".
func CallbacksID(id string) string { return id + ".cb" }

// RootID is the ID of the whole job that id belongs to: "ID" for "ID.3.2", for
// "ID.cb" and for "ID".
func RootID(id string) string {
	root, _, _ := strings.Cut(id, ".")
	return root
}

// Whole says whether id is that of a whole job, not that of a member or a callback.
func Whole(id string) bool { return strings.IndexByte(id, '.') < 0 }

// CheckFullID says whether id is that of a job, a member or a callback.
func CheckFullID(id string) error {
	root, rest, extended := strings.Cut(id, ".")
	if err := CheckID(root); err != nil {
		return err
	}
	if !extended {
		return nil
	}
	parts := 0
	for part := range strings.SplitSeq(rest, ".") {
		n, err := strconv.Atoi(part)
		if parts++; parts > 2*MaxDepth || part != "cb" && (err != nil || n < 1 || n > MaxCalls || strconv.Itoa(n) != part) {
			return fmt.Errorf("id %s: members extend the ID of their job by .1, .2 …, callbacks by .cb", Quote(id))
		}
	}
	return nil
}
