package sqlite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

// sqlite3 runs statements on a database with SQLite's own program.
func sqlite3(t *testing.T, db, statements string) string {
	t.Helper()
	c := exec.Command("sqlite3", "-batch", "-bail", db)
	c.Stdin = strings.NewReader(statements)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", statements, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// writeFile writes a database into a file and into a buffer, which must get the same bytes.
func writeFile(t *testing.T, tables []Table) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var streamed bytes.Buffer
	if err := errors.Join(Write(f, tables), f.Close(), Write(&streamed, tables)); err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(path); err != nil || !bytes.Equal(written, streamed.Bytes()) {
		t.Fatalf("%v: the file and the stream have %d and %d bytes, not the same", err,
			len(written), streamed.Len())
	}
	return path
}

type row struct {
	id   int64
	text string
	n    int64
}

func key(r row) string { return fmt.Sprintf("%d|%s|%d", r.id, r.text, r.n) }

// tableOf returns a table of the rows with an index of the texts.
func tableOf(name string, rows []row) Table {
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b row) int {
		return cmp.Or(strings.Compare(a.text, b.text), cmp.Compare(a.id, b.id))
	})
	return Table{
		Name:   name,
		Create: "CREATE TABLE " + name + "(id INTEGER PRIMARY KEY, text TEXT, n INTEGER)",
		Rows: func(add func(int64, *Row)) {
			var r Row
			for _, x := range rows {
				r.Reset()
				r.Null()
				r.Text(x.text)
				r.Int(x.n)
				add(x.id, &r)
			}
		},
		Indexes: []Index{{
			Name: name + "_text", Create: "CREATE INDEX " + name + "_text ON " + name + "(text)",
			Entries: func(add func(*Row)) {
				var r Row
				for _, x := range sorted {
					r.Reset()
					r.Text(x.text)
					r.Int(x.id)
					add(&r)
				}
			},
		}},
	}
}

// TestWrite writes tables of many sizes. SQLite must find each sound, and read the rows back.
func TestWrite(t *testing.T) {
	need.Tools(t, "sqlite3")
	random := rand.New(rand.NewPCG(1, 2))
	numbers := []int64{0, 1, -1, 127, 128, -129, 1 << 15, 1<<23 - 1, 1 << 23, 1 << 31, -1 << 31,
		1 << 47, -1<<47 - 1, math.MaxInt64, math.MinInt64, -0x7f000000}
	for _, c := range []struct{ rows, longest int }{
		{0, 0}, {1, 10}, {2, 5000}, {40, 5000}, {300, 20}, {800, 1100}, {3000, 30}, {30_000, 40},
		{500, 9000}, {130, 60}, {131, 60}, {132, 60}, {133, 60}, {134, 60}, {135, 60},
	} {
		var rows []row
		id := int64(0)
		for i := range c.rows {
			id += 1 + random.Int64N(3)
			text := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(c.longest))
			rows = append(rows, row{id, fmt.Sprint(text, i%97), numbers[i%len(numbers)]})
		}
		db := writeFile(t, []Table{tableOf("a", rows), tableOf("b", rows[:len(rows)/2])})
		if got := sqlite3(t, db, "PRAGMA integrity_check;"); got != "ok" {
			t.Fatalf("%d rows up to %d: %.2000s", c.rows, c.longest, got)
		}
		var want []string
		for _, r := range rows {
			want = append(want, key(r))
		}
		if got := sqlite3(t, db, "SELECT * FROM a;"); got != strings.Join(want, "\n") {
			t.Errorf("%d rows up to %d: other rows", c.rows, c.longest)
		}
		if len(rows) == 0 {
			continue
		}
		r := rows[len(rows)/2]
		query := "FROM a WHERE text = '" + r.text + "'"
		if got := sqlite3(t, db, "EXPLAIN QUERY PLAN SELECT * "+query+";"); !strings.Contains(
			got, "USING INDEX a_text") {
			t.Errorf("the index is not used: %s", got)
		}
		count := 0
		for _, x := range rows {
			if x.text == r.text {
				count++
			}
		}
		if got := sqlite3(t, db, "SELECT count(*) "+query+";"); got != fmt.Sprint(count) {
			t.Errorf("%s rows %.40s, want %d", got, r.text, count)
		}
	}
}

// TestEveryIndexSize has indexes that end at every place of their last leaves.
func TestEveryIndexSize(t *testing.T) {
	need.Tools(t, "sqlite3")
	var tables []Table
	for n := 1; n < 40; n++ {
		var rows []row
		for i := range n {
			text := fmt.Sprintf("%05d", i) + strings.Repeat("x", 990)
			rows = append(rows, row{int64(i + 1), text, 1})
		}
		tables = append(tables, tableOf(fmt.Sprintf("t%d", n), rows))
	}
	for part := range slices.Chunk(tables, 8) {
		db := writeFile(t, part)
		if got := sqlite3(t, db, "PRAGMA integrity_check;"); got != "ok" {
			t.Errorf("from %s: %.2000s", part[0].Name, got)
		}
	}
}

// TestSQLiteWrites wants SQLite to be able to change a database of this package.
func TestSQLiteWrites(t *testing.T) {
	need.Tools(t, "sqlite3")
	var rows []row
	for i := range 5000 {
		rows = append(rows, row{int64(i + 1), fmt.Sprintf("%05d", i), 1})
	}
	db := writeFile(t, []Table{tableOf("a", rows)})
	got := sqlite3(t, db, "DELETE FROM a WHERE id % 3 = 0; INSERT INTO a(text) VALUES('zz'); "+
		"SELECT count(*) FROM a; VACUUM; PRAGMA integrity_check;")
	if got != "3335\nok" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	twice := tableOf("a", []row{{1, "a", 1}, {1, "b", 1}})
	if err := Write(&strings.Builder{}, []Table{twice}); err == nil {
		t.Error("a row ID occurs twice, and there is no error")
	}
	long := tableOf("a", nil)
	long.Create += strings.Repeat(" ", pageSize)
	if err := Write(&strings.Builder{}, []Table{long}); err == nil {
		t.Error("the schema is too long, and there is no error")
	}
	calls := 0
	changing := tableOf("a", nil)
	changing.Rows = func(add func(int64, *Row)) {
		calls++
		for i := range calls * 1000 {
			add(int64(i+1), &Row{})
		}
	}
	if err := Write(&strings.Builder{}, []Table{changing}); err == nil {
		t.Error("the rows changed, and there is no error")
	}
	if err := Write(full{}, []Table{tableOf("a", nil)}); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// full is a writer without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }
