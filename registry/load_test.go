package registry

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// badNames are bytes that no name in a registry has, alone and among others.
var badNames = []string{"\n", "\t", "\x00", "\x1b[31m", "a\rb", "a\x7f", "12345678\x1f", "\x01"}

// TestRefuseNames writes control bytes in every field of a record and of a header. A newline and a
// tab could make another line of one.
func TestRefuseNames(t *testing.T) {
	var texts []func(text string) *Head
	names := reflect.TypeFor[Record]()
	for i := range names.NumField() {
		if names.Field(i).Type.Kind() == reflect.String && names.Field(i).Name != "Renamed" {
			texts = append(texts, func(text string) *Head {
				r := testNames[0][0]
				reflect.ValueOf(&r).Elem().Field(i).SetString(text)
				head := NewHead(testHeader)
				head.Add(AppendName(nil, []Record{r}))
				return head
			})
		}
	}
	fields := reflect.TypeFor[Header]()
	for i := range fields.NumField() {
		if fields.Field(i).Type.Kind() == reflect.String {
			texts = append(texts, func(text string) *Head {
				var h Header
				reflect.ValueOf(&h).Elem().Field(i).SetString(text)
				return NewHead(h)
			})
		}
	}
	for _, m := range []func(text string) Module{
		func(text string) Module { return Module{Object: text} },
		func(text string) Module { return Module{Name: text} },
		func(text string) Module { return Module{BuildID: text} },
	} {
		texts = append(texts, func(text string) *Head {
			return NewHead(Header{Modules: []Module{m(text)}})
		})
	}
	for i, head := range texts {
		for _, text := range badNames {
			if text == "\t" && i >= len(texts)-3-countStrings(fields) {
				continue // header lines may have any number of values
			}
			if head(text).Err() == nil {
				t.Errorf("field %d: %q is written", i, text)
			}
		}
		if err := head("é name-1.c").Err(); err != nil {
			t.Error(err)
		}
	}
}

func countStrings(t reflect.Type) (n int) {
	for i := range t.NumField() {
		if t.Field(i).Type.Kind() == reflect.String {
			n++
		}
	}
	return n
}

// TestRefuseOverlay writes no overlay with a name that has control bytes.
func TestRefuseOverlay(t *testing.T) {
	base := open(t, file(testHeader, testNames))
	for _, text := range badNames {
		r := testNames[0][0]
		r.Section = text
		var b bytes.Buffer
		if err := WriteOverlay(&b, base, nil, []Record{r}); err == nil || b.Len() > 0 {
			t.Errorf("%q: %d bytes, error %v", text, b.Len(), err)
		}
	}
}

// TestRefuseControlBytes opens no file that has control bytes under a valid digest, wherever they
// are, or lines of other columns.
func TestRefuseControlBytes(t *testing.T) {
	var names [][]Record
	for i := range 40_000 { // more than one chunk
		r := testNames[0][0]
		r.Name = fmt.Sprintf("f%05d", i)
		names = append(names, []Record{r})
	}
	var large, small []byte
	for _, records := range names {
		large = AppendName(large, records)
	}
	for _, records := range testNames {
		small = AppendName(small, records)
	}
	if len(large) < 2*chunkSize {
		t.Fatalf("%d bytes", len(large))
	}
	for _, lines := range [][]byte{small, large} {
		open(t, withHeader(testHeader, lines))
		refused := func(at int, c byte, why string) {
			edited := slices.Clone(lines)
			edited[at] = c
			data := withHeader(testHeader, edited)
			for _, data := range [][]byte{data, compressed(t, data)} {
				_, err := Open(write(t, data))
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("byte %d of %d is %q: error %v", at, len(lines), c, err)
				}
			}
		}
		for _, c := range []byte{0, 1, '\r', 0x1b, 0x1f, 0x7f} {
			for _, at := range []int{0, 3, len(lines) / 2, len(lines) - 2} {
				if lines[at] == '\t' || lines[at] == '\n' {
					at--
				}
				refused(at, c, "control bytes")
			}
		}
		refused(2, '\t', "tabs in")
		refused(2, '\n', "tabs in")
	}
}

// zeros is a reader of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// pack compresses what a reader has.
func pack(t *testing.T, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<20))
	if err == nil {
		_, err = io.Copy(w, r)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs opens files that are or claim to be much larger than what they have. None may take
// memory for it.
func TestBombs(t *testing.T) {
	whole := file(testHeader, testNames)
	claims := func(size int64) string {
		now := fmt.Sprintf("bytes=%012d", size)
		return strings.Replace(string(whole), "bytes=000000000554", now, 1)
	}
	sparse := func(text string, size int64) string {
		path := write(t, []byte(text))
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return path
	}
	packed := func(readers ...io.Reader) string {
		return write(t, pack(t, io.MultiReader(readers...)))
	}
	text := strings.NewReader
	lines := strings.Repeat("a\tvmlinux\t.text\t10\t16\tt\t1\t1\t\t\t\t\t\t\n", 1<<20)
	for what, path := range map[string]string{
		"sparse":                         sparse("", 8<<30),
		"sparse after a registry":        sparse(string(whole), 8<<30),
		"sparse as claimed":              sparse(claims(8<<30), 8<<30),
		"packed zeros":                   packed(zeros(1 << 30)),
		"packed zeros after a registry":  packed(text(string(whole)), zeros(1<<30)),
		"packed zeros as claimed":        packed(text(claims(1<<30)), zeros(1<<30)),
		"packed claim of more":           packed(text(claims(1 << 30))),
		"packed lines as claimed":        packed(text(claims(554+int64(len(lines))) + lines)),
		"packed lines, more than claims": packed(text(string(whole) + lines)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Open(path)
		runtime.ReadMemStats(&after)
		if err == nil {
			f.Close()
			t.Errorf("%s: opened", what)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", what, n, err)
		}
	}
}

// TestOverwritten cuts and overwrites a registry in place while it is open: what was opened stays
// as it was.
func TestOverwritten(t *testing.T) {
	data := file(testHeader, testNames)
	for what, do := range map[string]func(path string) error{
		"cut": func(path string) error { return os.Truncate(path, 0) },
		"overwritten": func(path string) error {
			return os.WriteFile(path, bytes.ToUpper(data), 0o644)
		},
		"removed": os.Remove,
	} {
		path := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Collect(f.Prefixed(""))
		if err := do(path); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(f.Prefixed("")); len(got) != 5 || !slices.Equal(got, want) {
			t.Errorf("%s: %v", what, got)
		}
		f.Close()
	}
}
