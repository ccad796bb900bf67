package kbuild

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// firstImage is the duplicates of a first image.
var firstImage = duplicates{
	{"foo", ".text", 0x10, 4, true, "foo@a_c_1"},
	{"foo", ".text", 0x20, 8, true, "foo@b_c_2"},
	{"bar", ".text", 0x30, 4, false, "bar@a_c_9"},
	{"foo", ".init.text", 0x40, 4, true, ""},
	{"baz", ".text", 0x50, 4, false, "baz@b_c_9"},
}

// laterImage returns the same symbols at other addresses, without aliases.
func laterImage() duplicates {
	later := slices.Clone(firstImage)
	for i := range later {
		later[i].value += 0x1000
		later[i].alias = ""
	}
	return later
}

func TestFollow(t *testing.T) {
	later := laterImage()
	later[2], later[4] = later[4], later[2] // global symbols may change their order
	if err := later.follow(firstImage, "vmlinux2"); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(firstImage)
	want[2], want[4] = want[4], want[2]
	for i := range want {
		want[i].value += 0x1000
	}
	if !slices.Equal(later, want) {
		t.Errorf("followed %+v, want %+v", later, want)
	}
}

// Any mismatch is an error: the aliases could belong to other symbols.
func TestFollowRefused(t *testing.T) {
	for name, change := range map[string]func(duplicates) duplicates{
		"size":            func(d duplicates) duplicates { d[0].size++; return d },
		"size of global":  func(d duplicates) duplicates { d[2].size++; return d },
		"section":         func(d duplicates) duplicates { d[1].section = ".ref.text"; return d },
		"name":            func(d duplicates) duplicates { d[0].name = "bar"; return d },
		"name of global":  func(d duplicates) duplicates { d[4].name = "foo"; return d },
		"order of locals": func(d duplicates) duplicates { d[0], d[1] = d[1], d[0]; return d },
		"binding":         func(d duplicates) duplicates { d[0].local = false; return d },
		"local missing":   func(d duplicates) duplicates { return slices.Delete(d, 3, 4) },
		"global missing":  func(d duplicates) duplicates { return d[:4] },
		"local added":     func(d duplicates) duplicates { return append(d, d[0]) },
		"global added":    func(d duplicates) duplicates { return append(d, d[4]) },
	} {
		err := change(laterImage()).follow(firstImage, "vmlinux2")
		if err == nil || !strings.HasPrefix(err.Error(), "vmlinux2 does not match the first") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFirstFile(t *testing.T) {
	m := memory{t.TempDir()}
	file := filepath.Join(m.dir, "vmlinux1")
	writeTestFile(t, file, "an image", 0o644)
	if err := m.rememberFirst(firstImage, file); err != nil {
		t.Fatal(err)
	}
	have, err := m.recallFirst()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(firstImage)
	for i := range want {
		want[i].value = 0 // later images have other addresses
	}
	if !slices.Equal(have, want) {
		t.Errorf("recalled %+v, want %+v", have, want)
	}

	refused := func(what, pattern string) {
		t.Helper()
		if have, err := m.recallFirst(); err == nil || !strings.Contains(err.Error(), pattern) {
			t.Errorf("%s: recalled %+v, error %v, want %q", what, have, err, pattern)
		}
	}
	text, err := m.read(firstFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\n")
	for _, line := range []string{
		"foo\t.text\t4\ttrue", "foo\t.text\t4\ttrue\t\t", "foo\t.text\tsize\ttrue\t",
	} {
		if err := m.write(firstFile, []byte(head+"\n"+line+"\n")); err != nil {
			t.Fatal(err)
		}
		refused(line, "is damaged")
	}

	if err := m.write(firstFile, text); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, file+".new", "an image", 0o644)
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	refused("linked again", "was removed or linked again")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused("removed", "was removed or linked again")
	// The image was gone before its duplicates were written.
	if err := m.rememberFirst(firstImage, file); err != nil {
		t.Fatal(err)
	}
	refused("never there", "was removed or linked again")
	if err := m.forget(firstFile); err != nil {
		t.Fatal(err)
	}
	refused("forgotten", "no such file")
	if err := m.forget(firstFile); err != nil {
		t.Error("forgetting twice:", err)
	}
}

func TestWriteList(t *testing.T) {
	all := duplicates{
		{"foo", ".text", 0x20, 4, true, "foo@a_c_1"},
		{"foo", ".text", 0x20, 4, true, "foo@b_c_2"}, // folded into the same function
		{"foo", ".text", 0x40, 4, true, "foo@c_c_3"},
		{"bar", ".text", 0x40, 4, true, ""},
	}
	const list = "                 U undefined\n" +
		"0000000000000020 t foo\n" +
		"0000000000000020 t foo\n" +
		"0000000000000040 T bar\n" +
		"0000000000000040 t foo\n"
	const want = "                 U undefined\n" +
		"0000000000000020 t foo\n" +
		"0000000000000020 t foo@a_c_1\n" +
		"0000000000000020 t foo\n" +
		"0000000000000020 t foo@b_c_2\n" +
		"0000000000000040 T bar\n" +
		"0000000000000040 t foo\n" +
		"0000000000000040 t foo@c_c_3\n"
	var have strings.Builder
	if err := all.write(strings.NewReader(list), &have); err != nil || have.String() != want {
		t.Errorf("wrote\n%s, want\n%s, error %v", have.String(), want, err)
	}

	for name, list := range map[string]string{
		"symbol missing": strings.Replace(list, "0000000000000040 t foo\n", "", 1),
		"other address":  strings.Replace(list, "40 t foo", "48 t foo", 1),
		"one too few":    strings.Replace(list, "0000000000000020 t foo\n", "", 1),
	} {
		err := all.write(strings.NewReader(list), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), "1 symbols that have aliases are not in") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := all.write(strings.NewReader(list), fullWriter{}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want that of the writer", err)
	}
	tooLong := strings.Repeat("x", 2<<20)
	if err := (duplicates{}).write(strings.NewReader(tooLong), &have); err == nil {
		t.Error("a line that is too long is no error")
	}
}

var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }
