package task

import (
	"testing"
	"time"
)

func TestF25AnIDIsMadeBefore1970Too(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0)} {
		id := idAt(now)
		if err := CheckID(id); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
		if again := idAt(now); again == id {
			t.Errorf("at %v: two jobs have the ID %s", now, id)
		}
	}
}
