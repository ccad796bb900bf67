package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"kas/pipeline"
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
	builds := d.outputs.builds
	d.files = make([]*registry.File, len(builds))
	errs := make([]error, len(builds))
	pipeline.Parallel(0, len(builds), func(i int) {
		b := builds[i]
		if b.file == nil {
			return
		}
		f, err := registry.Open(b.file.Path)
		if err == nil && f.Digest != b.file.Digest {
			f.Close()
			f, err = nil, errors.New("changed during the report")
		}
		if err != nil {
			errs[i] = fmt.Errorf("%s: %w", b.file.Path, err)
		}
		d.files[i] = f
	})
	return cmp.Or(errs...)
}

func (d *database) close() {
	for _, f := range d.files {
		if f != nil {
			f.Close()
		}
	}
}

// contents is what prepare finds in the registry of a build.
type contents struct {
	symbols int64
	objects []string          // in the order of their first symbols
	aliased []registry.Record // symbols that have an alias
	at      []int64           // of each of these, the number of symbols before it
	err     error
}

// contents reads all symbols of a build. It is an error if they are not sorted.
func (d *database) contents(build int) (c contents) {
	objects, last := map[string]bool{}, ""
	for r := range d.records(build) {
		if r.Name < last {
			c.err = fmt.Errorf("%s: %q is after %q, so the file is not sorted",
				d.files[build].Path, r.Name, last)
			return c
		}
		last = r.Name
		if !objects[r.Object] {
			objects[r.Object] = true
			c.objects = append(c.objects, r.Object)
		}
		if r.Alias != "" {
			c.aliased, c.at = append(c.aliased, r), append(c.at, c.symbols)
		}
		c.symbols++
	}
	return c
}

// prepare numbers objects, symbols and places, and gathers the aliases.
func (d *database) prepare() error {
	all := make([]contents, len(d.files))
	pipeline.Parallel(0, len(all), func(i int) { all[i] = d.contents(i) })
	symbol, object := int64(1), int64(1)
	for i, c := range all {
		if c.err != nil {
			return c.err
		}
		objects := map[string]int64{}
		for _, name := range c.objects {
			objects[name] = object
			object++
		}
		d.objects = append(d.objects, objects)
		d.first = append(d.first, symbol)
		for j := range c.aliased {
			r := &c.aliased[j]
			d.aliases = append(d.aliases, aliasRow{
				symbol: symbol + c.at[j], build: int64(i + 1), place: d.place(r), alias: r.Alias,
				method: r.Method,
			})
		}
		symbol += c.symbols
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
		name  []byte
		id    int64
		names *registry.Names
	}
	order := func(a, b *cursor) int {
		return cmp.Or(bytes.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	}
	var queue []*cursor // in order
	for i, f := range d.files {
		if f != nil {
			c := &cursor{id: d.first[i], names: f.Names()}
			if name, ok := c.names.Next(); ok {
				c.name = name
				queue = append(queue, c)
			}
		}
	}
	slices.SortFunc(queue, order)
	var row sqlite.Row
	text := ""
	for len(queue) > 0 {
		c := queue[0]
		if string(c.name) != text {
			text = string(c.name)
		}
		row.Reset()
		row.Text(text)
		row.Int(c.id)
		add(&row)
		name, ok := c.names.Next()
		if !ok {
			queue = queue[1:]
			continue
		}
		c.name, c.id = name, c.id+1
		before, _ := slices.BinarySearchFunc(queue[1:], c, order)
		copy(queue, queue[1:before+1])
		queue[before] = c
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
