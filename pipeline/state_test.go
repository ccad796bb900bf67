package pipeline

import (
	"testing"
	"time"

	"kas/elf"
)

// An object that was changed within the clock's tick before it was opened may be changed again
// unseen.
func TestTrusted(t *testing.T) {
	opened := time.Unix(1000, 0)
	at := func(before time.Duration) int64 { return opened.Add(-before).UnixNano() }
	for _, c := range []struct {
		mtime, ctime int64
		want         bool
	}{
		{at(time.Hour), at(time.Second), true},
		{at(time.Second), at(time.Hour), true},
		{at(time.Hour), at(settled), false},
		{at(time.Millisecond), at(time.Hour), false},
		{at(time.Hour), at(-time.Minute), false}, // from a machine whose clock is ahead
	} {
		o := Object{opened: opened, Identity: elf.Identity{Ino: 1, Mtime: c.mtime, Ctime: c.ctime}}
		if got := o.trusted(); got != c.want {
			t.Errorf("changed %v before, %v its inode: %v", opened.Sub(time.Unix(0, c.mtime)), opened.Sub(time.Unix(0, c.ctime)), got)
		}
	}
	if o := (&Object{opened: opened}); o.trusted() {
		t.Error("an object that could not be opened")
	}
}
