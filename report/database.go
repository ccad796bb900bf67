package report

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"kas/registry"
	"kas/report/sqlite"
)

// SQLite writes a database of all builds: docs/report.md describes its tables.
func (o *Outputs) SQLite(w io.Writer) error {
	d := database{outputs: o, places: map[place]int64{}}
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return err
	}
	return sqlite.Write(w, []sqlite.Table{
		d.buildsTable(), d.objectsTable(), d.symbolsTable(), d.aliasesTable(), d.placesTable(),
		d.reasonsTable(),
	})
}

// database has what tables refer to. Row IDs count from 1.
type database struct {
	outputs *Outputs
	files   []*registry.File // for each build, nil if it has no readable registry

	objects []map[string]int64 // for each build, the row of each object
	first   []int64            // for each build, the row of its first symbol
	places  map[place]int64
	sorted  []place // in the order of their rows
	aliases []aliasRow
}

type place struct {
	file, unit string
	line       int64
}

type aliasRow struct {
	symbol, build, place int64
	alias, method        string
}

// open opens the registries again.
func (d *database) open() error {
	for _, b := range d.outputs.builds {
		var f *registry.File
		if b.file != nil {
			var err error
			switch f, err = registry.Open(b.file.Path); {
			case err != nil:
				return fmt.Errorf("%s: %w", b.file.Path, err)
			case f.Digest != b.file.Digest:
				f.Close()
				return fmt.Errorf("%s: changed during the report", b.file.Path)
			}
		}
		d.files = append(d.files, f)
	}
	return nil
}

func (d *database) close() {
	for _, f := range d.files {
		if f != nil {
			f.Close()
		}
	}
}

// prepare numbers objects, symbols and places, and gathers the aliases. It returns an error if a
// registry is not sorted.
func (d *database) prepare() error {
	symbol, object := int64(0), int64(0)
	for i, b := range d.outputs.builds {
		objects, last := map[string]int64{}, ""
		d.objects = append(d.objects, objects)
		d.first = append(d.first, symbol+1)
		for r := range d.records(i) {
			if r.Name < last {
				return fmt.Errorf("%s: %q is after %q, so the file is not sorted", b.file.Path,
					r.Name, last)
			}
			last = r.Name
			symbol++
			if objects[r.Object] == 0 {
				object++
				objects[r.Object] = object
			}
			if r.Alias != "" {
				d.aliases = append(d.aliases, aliasRow{
					symbol: symbol, build: int64(i + 1), place: d.place(&r), alias: r.Alias,
					method: r.Method,
				})
			}
		}
	}
	return nil
}

// place returns the row of a record's location, 0 if it has none.
func (d *database) place(r *registry.Record) int64 {
	p := place{r.File, r.Unit, r.Line}
	if p.file == "" && p.unit == "" {
		return 0
	}
	if d.places[p] == 0 {
		d.sorted = append(d.sorted, p)
		d.places[p] = int64(len(d.sorted))
	}
	return d.places[p]
}

// records yields the symbols of a build in the order of the registry, none without a registry.
func (d *database) records(build int) iter.Seq[registry.Record] {
	if d.files[build] == nil {
		return func(func(registry.Record) bool) {}
	}
	return d.files[build].Prefixed("")
}

func (d *database) buildsTable() sqlite.Table {
	create := "CREATE TABLE builds(id INTEGER PRIMARY KEY, name TEXT, problems INTEGER, " +
		"arch TEXT, toolchain TEXT, lto TEXT, release TEXT, build_id TEXT"
	for _, n := range counts {
		create += ", " + n.column + " INTEGER"
	}
	return sqlite.Table{
		Name: "builds", Create: create + ")",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			for i, b := range d.outputs.builds {
				r.Reset()
				r.Null()
				r.Text(b.label)
				r.Int(int64(len(b.problems)))
				id := ""
				if b.file != nil {
					id = b.file.BuildID
				}
				for _, text := range []string{b.Arch, b.Toolchain, b.LTO, b.Release, id} {
					r.TextOrNull(text)
				}
				for _, n := range counts {
					r.Int(n.of(b))
				}
				add(int64(i+1), &r)
			}
		},
	}
}

func (d *database) objectsTable() sqlite.Table {
	return sqlite.Table{
		Name: "objects",
		Create: "CREATE TABLE objects(id INTEGER PRIMARY KEY, " +
			"build INTEGER REFERENCES builds, name TEXT)",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			for i, objects := range d.objects {
				byRow := slices.SortedFunc(maps.Keys(objects), func(a, b string) int {
					return cmp.Compare(objects[a], objects[b])
				})
				for _, name := range byRow {
					r.Reset()
					r.Null()
					r.Int(int64(i + 1))
					r.Text(name)
					add(objects[name], &r)
				}
			}
		},
	}
}

func (d *database) symbolsTable() sqlite.Table {
	return sqlite.Table{
		Name: "symbols",
		Create: "CREATE TABLE symbols(id INTEGER PRIMARY KEY, build INTEGER REFERENCES builds, " +
			"object INTEGER REFERENCES objects, name TEXT, base TEXT, section TEXT, " +
			"address INTEGER, size INTEGER, type TEXT, code INTEGER, count INTEGER, " +
			"position INTEGER)",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			id := int64(0)
			for i := range d.files {
				for s := range d.records(i) {
					id++
					r.Reset()
					r.Null()
					r.Int(int64(i + 1))
					r.Int(d.objects[i][s.Object])
					r.Text(s.Name)
					r.Text(s.BaseName())
					r.Text(s.Section)
					r.Int(int64(s.Address))
					r.Int(int64(s.Size))
					r.Text(string(rune(s.Type)))
					r.Int(oneIf(s.Code()))
					r.Int(int64(s.Count))
					r.Int(int64(s.Position))
					add(id, &r)
				}
			}
		},
		Indexes: []sqlite.Index{{
			Name: "symbols_name", Create: "CREATE INDEX symbols_name ON symbols(name)",
			Entries: d.symbolsByName,
		}},
	}
}

func oneIf(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// symbolsByName merges the registries, each of which is sorted by name.
func (d *database) symbolsByName(add func(*sqlite.Row)) {
	type cursor struct {
		name string
		id   int64
		next func() (registry.Record, bool)
	}
	var cursors []*cursor
	for i := range d.files {
		next, stop := iter.Pull(d.records(i))
		defer stop()
		if r, ok := next(); ok {
			cursors = append(cursors, &cursor{r.Name, d.first[i], next})
		}
	}
	var row sqlite.Row
	for len(cursors) > 0 {
		least := cursors[0]
		for _, c := range cursors[1:] {
			if c.name < least.name { // equal names are in the order of their rows
				least = c
			}
		}
		row.Reset()
		row.Text(least.name)
		row.Int(least.id)
		add(&row)
		r, ok := least.next()
		least.name, least.id = r.Name, least.id+1
		if !ok {
			cursors = slices.DeleteFunc(cursors, func(c *cursor) bool { return c == least })
		}
	}
}

func (d *database) aliasesTable() sqlite.Table {
	sorted := slices.Clone(d.aliases)
	slices.SortFunc(sorted, func(a, b aliasRow) int {
		return cmp.Or(strings.Compare(a.alias, b.alias), cmp.Compare(a.symbol, b.symbol))
	})
	return sqlite.Table{
		Name: "aliases",
		Create: "CREATE TABLE aliases(symbol INTEGER PRIMARY KEY REFERENCES symbols, " +
			"build INTEGER REFERENCES builds, alias TEXT, place INTEGER REFERENCES places, " +
			"source TEXT)",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			for _, a := range d.aliases {
				r.Reset()
				r.Null()
				r.Int(a.build)
				r.Text(a.alias)
				if a.place > 0 {
					r.Int(a.place)
				} else {
					r.Null()
				}
				r.Text(a.method)
				add(a.symbol, &r)
			}
		},
		Indexes: []sqlite.Index{{
			Name: "aliases_alias", Create: "CREATE INDEX aliases_alias ON aliases(alias)",
			Entries: func(add func(*sqlite.Row)) {
				var r sqlite.Row
				for _, a := range sorted {
					r.Reset()
					r.Text(a.alias)
					r.Int(a.symbol)
					add(&r)
				}
			},
		}},
	}
}

func (d *database) placesTable() sqlite.Table {
	return sqlite.Table{
		Name:   "places",
		Create: "CREATE TABLE places(id INTEGER PRIMARY KEY, file TEXT, line INTEGER, unit TEXT)",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			for i, p := range d.sorted {
				r.Reset()
				r.Null()
				r.TextOrNull(p.file)
				if p.line > 0 {
					r.Int(p.line)
				} else {
					r.Null()
				}
				r.TextOrNull(p.unit)
				add(int64(i+1), &r)
			}
		},
	}
}

func (d *database) reasonsTable() sqlite.Table {
	return sqlite.Table{
		Name: "reasons",
		Create: "CREATE TABLE reasons(build INTEGER REFERENCES builds, reason TEXT, " +
			"symbols INTEGER)",
		Rows: func(add func(int64, *sqlite.Row)) {
			var r sqlite.Row
			id := int64(0)
			for i, b := range d.outputs.builds {
				for _, reason := range slices.Sorted(maps.Keys(b.Unaliased)) {
					id++
					r.Reset()
					r.Int(int64(i + 1))
					r.Text(reason)
					r.Int(int64(b.Unaliased[reason]))
					add(id, &r)
				}
			}
		},
	}
}
