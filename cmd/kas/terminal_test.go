package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kas/need"
)

// escapes matches the control sequences of a terminal.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// openTerminal makes a pseudoterminal of 24 rows and so many columns.
func openTerminal(t *testing.T, columns int) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		need.Missing(t, "a pseudoterminal: "+err.Error())
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/pts/%d", number)
	if slave, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	size := unix.Winsize{Row: 24, Col: uint16(columns)}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestColumnsOf(t *testing.T) {
	_, slave := openTerminal(t, 72)
	defer slave.Close()
	if got := columnsOf(&checked{Writer: screened(slave, false)}); got != 72 {
		t.Errorf("a terminal of 72 columns has %d", got)
	}
	if got := columnsOf(&checked{Writer: new(strings.Builder)}); got != 0 {
		t.Errorf("what is no terminal has %d columns", got)
	}
}

func TestWriteNarrow(t *testing.T) {
	rows := [][]string{
		{"function", "location", "A", "B"},
		{"f", "a.c", "7_2", ".17 8"},
		{"long_name", "folder/file.c", "9", "-"},
	}
	for columns, want := range map[int]string{
		20: `function  location
     A    B
f  a.c
     7_2  .17 8
long_name
  folder/file.c
     9    -
`,
		14: `function
  location
f  a.c
     A 7_2
     B .17 8
long_name
  folder/file.c
     A 9  B -
`,
	} {
		var got strings.Builder
		if err := writeNarrow(&got, rows, columns); err != nil || got.String() != want {
			t.Errorf("%d columns: %v: %s\nwant\n%s", columns, err, got.String(), want)
		}
	}
}
