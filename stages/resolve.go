package stages

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// Resolve finds the location of each duplicate that gets an alias, makes the aliases, and proves
// that they are unique. It opens only the objects that have such a duplicate, in parallel, and
// reads only the units that contain one.
func Resolve(ctx context.Context, b *pipeline.Build) error {
	return resolve(ctx, b, declarationsOf)
}

// findDeclarations finds the declarations of the chosen duplicates of an object.
type findDeclarations func(
	ctx context.Context, b *pipeline.Build, o *pipeline.Object,
) (declarations, error)

func resolve(ctx context.Context, b *pipeline.Build, find findDeclarations) error {
	if err := choose(ctx, b); err != nil {
		return err
	}
	if err := findElsewhere(ctx, b); err != nil {
		return err
	}
	if err := locate(ctx, b, find); err != nil {
		return err
	}
	if err := nameAll(ctx, b); err != nil {
		return err
	}
	return prove(b)
}

// choose sets the reason of each duplicate that gets no alias because of the configuration or of
// what it is.
func choose(ctx context.Context, b *pipeline.Build) error {
	filter, err := neverFilter(b.Config.Alias.Never)
	if err != nil {
		return err
	}
	named, err := namedPlaces(ctx, b)
	if err != nil {
		return err
	}
	return b.Split(ctx, len(b.Groups), func(_, from, to int) {
		for g := from; g < to; g++ {
			var name, never string // most names of a group are the same
			for _, r := range b.Groups[g].Members {
				o, s := b.Ref(r)
				if s.Name != name {
					name, never = s.Name, filter(s.Name)
				}
				d := &o.Duplicates[s.Duplicate-1]
				switch {
				case d.Reason != "":
				case never != "":
					d.Reason = never
				case isAlias(b, r, named[r.Object]):
					d.Reason = "an alias itself"
				case o.Sections[s.Section].Discarded:
					d.Reason = "in a section that is gone after load"
				default:
					d.Reason = excluded(b.Config.Alias, s.Code)
				}
			}
		}
	})
}

// namedPlace is a base name and where a symbol has it.
type namedPlace struct {
	base string
	place
}

// namedPlaces returns, for each object with a duplicate whose name has the separator, the first
// symbol of each base name and extent.
func namedPlaces(ctx context.Context, b *pipeline.Build) ([]map[namedPlace]int32, error) {
	all := make([]map[namedPlace]int32, len(b.Objects))
	err := b.Split(ctx, len(b.Objects), func(_, from, to int) {
		for i := from; i < to; i++ {
			o := &b.Objects[i]
			if !slices.ContainsFunc(o.Duplicates, func(d pipeline.Duplicate) bool {
				return strings.Contains(o.Symbols[d.Symbol].Name, b.Config.Alias.Separator)
			}) {
				continue
			}
			all[i] = make(map[namedPlace]int32, len(o.Symbols))
			for j := range o.Symbols {
				s := &o.Symbols[j]
				base, _, _ := classify(s.Name, s.Code, b.Toolchain, b.LTO)
				at := namedPlace{base, placeOf(b, pipeline.Ref{Object: int32(i), Symbol: int32(j)})}
				if _, known := all[i][at]; !known {
					all[i][at] = int32(j)
				}
			}
		}
	})
	return all, err
}

// isAlias reports whether an earlier run made the symbol: it has the spelling of an alias, and a
// symbol before it has its base name and its extent. Other names with the separator belong to the
// source, such as those of symbol versions (name@VERSION).
func isAlias(b *pipeline.Build, r pipeline.Ref, named map[namedPlace]int32) bool {
	_, s := b.Ref(r)
	sep := b.Config.Alias.Separator
	for at := strings.Index(s.Name, sep); at > 0; {
		base, rest := s.Name[:at], s.Name[at+len(sep):]
		foreign := func(r rune) bool { return r != '_' && !alphanumeric(r) }
		if rest != "" && !strings.ContainsFunc(rest, foreign) {
			first, ok := named[namedPlace{base, placeOf(b, r)}]
			if ok && first < r.Symbol {
				return true
			}
		}
		next := strings.Index(s.Name[at+1:], sep)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return false
}

func excluded(a configs.Alias, code bool) string {
	switch {
	case code && a.Symbols == "data":
		return "not data"
	case !code && a.Symbols == "text":
		return "not text"
	}
	return ""
}

// locate sets the location of each duplicate that has no reason yet, or the reason why it has none.
func locate(ctx context.Context, b *pipeline.Build, find findDeclarations) error {
	needed := b.Every(func(o *pipeline.Object) bool { return !o.NoDebug && len(chosen(o)) > 0 })
	found := make(map[*pipeline.Object]*declarations, len(needed))
	for _, o := range needed {
		found[o] = &declarations{}
	}
	err := b.Each(ctx, needed, func(o *pipeline.Object) (err error) {
		*found[o], err = find(ctx, b, o)
		return err
	})
	if err != nil {
		return err
	}
	all := newEvidence()
	for _, o := range needed {
		all.merge(&found[o].Evidence)
	}
	source := findRoots(b.Config.Source, b.Scope.Roots, all)
	for _, o := range needed {
		if len(found[o].Locations) == 0 {
			continue // there was an error, or no unit
		}
		for i, d := range chosen(o) {
			settle(d, found[o].Locations[i], source, b.Config.Alias.Line)
		}
		found[o].Twins.apply(o, chosen(o))
	}
	for i := range b.Objects {
		o := &b.Objects[i]
		fallBack(o, found[o])
	}
	// An object with an error has no file symbols to trust, so these come last.
	reportSplits(ctx, b, needed, found)
	reportShared(ctx, b, needed, found)
	return nil
}

// fallBack gives the duplicates of an object without a declaration the location that their file
// symbol names, or the reason why they have none.
func fallBack(o *pipeline.Object, found *declarations) {
	reason := unlocated(o)
	if found != nil && found.Split.Units > 0 {
		reason = "no split debugging information"
	}
	var strays map[int32]bool
	for _, d := range chosen(o) {
		if d.Location.File != "" {
			continue
		}
		if strays == nil {
			strays = straysOf(o)
		}
		if !strays[d.Symbol] && (o.NoDebug || found.trusts(o, d)) {
			d.Location = fileSymbol(o, d)
		}
		if d.Location.File == "" && !d.SuffixFree {
			d.Reason = reason
		}
	}
}

// chosen returns the duplicates of an object that get an alias, as far as is known.
func chosen(o *pipeline.Object) []*pipeline.Duplicate {
	var all []*pipeline.Duplicate
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; d.Reason == "" {
			all = append(all, d)
		}
	}
	return all
}

// declarations is what resolve reads in the debugging information of an object.
type declarations struct {
	Locations []dwarf.Location // of the chosen duplicates, in their order; nil if there is none
	Evidence  evidence
	Split     missingSplits
	Shared    string // why the file that dwz made is not read, "" if it is or there is none

	// Twins are the symbols of the debug file, nil if the object has its debugging information.
	Twins *twins

	// Doubtful lists files by their last name: the file symbol of a duplicate names one of them,
	// but another source file may have defined the duplicate.
	Doubtful set
}

// trusts reports whether the file symbol of a duplicate without a declaration is right.
func (found *declarations) trusts(o *pipeline.Object, d *pipeline.Duplicate) bool {
	file := o.Files[o.Symbols[d.Symbol].File]
	return found != nil && !o.Failed() && !found.Doubtful[path.Base(file)]
}

// declarationsOf finds the declarations of the chosen duplicates of an object. They are noted for
// the next run.
func declarationsOf(
	ctx context.Context, b *pipeline.Build, o *pipeline.Object,
) (declarations, error) {
	list := chosen(o)
	var key []byte
	for _, d := range list {
		key = fmt.Appendf(key, "%d ", o.Symbols[d.Symbol].ID)
	}
	read := func() (declarations, error) { return readDeclarations(ctx, b, o, list) }
	key = fmt.Appendf(key, "%q %s", o.Debug.Path, o.Debug.Identity)
	found, err := pipeline.Note(b, o, pipeline.Digest(string(key)), read)
	n := len(found.Locations)
	if err == nil && n != 0 && (n != len(list) || !found.Twins.fit(o, n)) {
		return read() // the note is damaged
	}
	return found, err
}

// readDeclarations reads the debugging information of an object.
func readDeclarations(
	ctx context.Context, b *pipeline.Build, o *pipeline.Object, list []*pipeline.Duplicate,
) (declarations, error) {
	found := declarations{Evidence: *newEvidence()}
	f, err := o.OpenDebug()
	if err != nil {
		return found, err
	}
	defer f.Close()
	info, done, err := openInfo(b, o, f, &found)
	defer done()
	if err != nil || info == nil {
		return found, named(o, err)
	}
	info.Splits = splits(b, o)
	for _, u := range info.Units() {
		found.Evidence.add(u.Name(), u.CompDir())
	}
	found.Twins, err = findTwins(o, f, list)
	if err != nil {
		return found, named(o, err)
	}
	targets, of := found.Twins.targets(o, f, list)
	locations, err := info.Locate(ctx, targets)
	found.noteSplits(o, info.Splits)
	if err == nil {
		err = checkLocations(f, locations)
	}
	if err == nil {
		found.Doubtful, err = doubtful(f, info, targets, locations)
	}
	if err != nil {
		return found, named(o, err)
	}
	found.Locations = make([]dwarf.Location, len(list))
	for i, l := range locations {
		found.Locations[of[i]] = l
	}
	return found, nil
}

// named adds the path of an object's debug file to an error about its content.
func named(o *pipeline.Object, err error) error {
	if err == nil || o.Debug.Path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", o.Debug.Path, err)
}

// checkLocations checks the names in locations: tables contain them.
func checkLocations(f *elf.File, locations []dwarf.Location) error {
	for i := range locations {
		l := &locations[i]
		for _, name := range [...]string{l.File, l.Unit, l.Owner} {
			if elf.Control(name) || len(name) > longestName {
				return badName(f.HeadersOffset(), "a declaration", name)
			}
		}
	}
	return nil
}

// doubtful returns the last names of the files that Doubtful lists. An assembler writes no file
// symbol, so in the symbol table of LLD its symbols follow the file symbol of another object. If a
// unit of that file has declarations, they do not include the symbol, so it may be one of these.
// Other linkers write a file symbol for each object; they also write the symbols of sections first.
func doubtful(
	f *elf.File, info *dwarf.Data, targets []dwarf.Target, found []dwarf.Location,
) (set, error) {
	unknown := set{}
	for i, t := range targets {
		if t.File != "" && found[i].File == "" {
			unknown[path.Base(t.File)] = true
		}
	}
	units := info.Units()
	if len(unknown) == 0 || len(units) == 1 {
		return nil, nil
	}
	syms, err := f.Symtab()
	if err != nil {
		return nil, err
	}
	if first, err := syms.At(1); err != nil || !first.SourceFile() {
		return nil, err
	}
	all := set{}
	for i := range units {
		u := &units[i]
		file := path.Base(u.Name())
		if !unknown[file] || all[file] {
			continue
		}
		declares, err := u.Declares()
		if err != nil {
			return nil, err
		}
		if declares {
			all[file] = true
		}
	}
	return all, nil
}

// settle sets the location of a duplicate from its declaration. line is the configuration's
// alias.line.
func settle(d *pipeline.Duplicate, l dwarf.Location, source *roots, line string) {
	file, unit := source.relative(l.File, l.CompDir), source.relative(l.Unit, l.CompDir)
	if l.Method == dwarf.None || l.File == "" || !namesFile(file) {
		return
	}
	if !namesFile(unit) {
		unit = file // the name of the unit is empty or damaged
	}
	d.Location = pipeline.Location{
		File: file, Line: l.Line, Unit: unit, Method: methodNames[l.Method],
	}
	if l.Owner != "" && !strings.ContainsAny(l.Owner, " ,\t\n") {
		d.Location.Method += " of " + l.Owner
	}
	// The tree may name the unit in a #line directive already:
	// "fs/binfmt_elf.c:compat_binfmt_elf.c" (see kas inc).
	front, end, ok := strings.Cut(file, ":")
	if ok && path.Base(end) == path.Base(unit) {
		d.Location.File = front
	}
	if line != "declaration" && l.Opening > 0 {
		d.Location.Line = l.Opening
	}
}

// namesFile reports whether a path that relative returned is that of a file.
func namesFile(file string) bool { return file != "." && file != ".." && file != "/" }

// methodNames are the values of the source column of aliases.tsv.
var methodNames = map[dwarf.Method]string{
	dwarf.Subprogram: "subprogram",
	dwarf.Fragment:   "fragment",
	dwarf.Variable:   "variable",
	dwarf.LineRow:    "line",
	dwarf.ByName:     "name",
	dwarf.ByFile:     "file",
}

// straysOf returns the duplicates of an object that are below the file symbol of another file: one
// with their name is below it, too, and one file has only one symbol of a name. A file's own
// symbols come first; what LLD puts after them is assembly.
func straysOf(o *pipeline.Object) map[int32]bool {
	type scoped struct {
		name string
		file int32
	}
	first := map[scoped]bool{}
	strays := map[int32]bool{}
	for i := range o.Duplicates {
		d := &o.Duplicates[i]
		s := &o.Symbols[d.Symbol]
		if s.File == 0 {
			continue
		}
		at := scoped{s.Name, s.File}
		strays[d.Symbol] = first[at]
		first[at] = true
	}
	return strays
}

// fileSymbol returns the location of a local symbol that the debugging information does not have:
// the name of its source file. The folder is known only for a module of one source file, because
// kbuild names the module after the file and puts it into the same folder.
func fileSymbol(o *pipeline.Object, d *pipeline.Duplicate) pipeline.Location {
	file := o.Files[o.Symbols[d.Symbol].File]
	switch path.Ext(file) {
	case ".c", ".S", ".s", ".rs":
	default: // no file, or an object that link-time optimization made (ld-temp.o)
		return pipeline.Location{}
	}
	file = path.Base(file)
	module := strings.TrimPrefix(elf.Uncompressed(o.Name), "kernel/")
	if !o.Vmlinux && stem(module) == stem(file) && ofOneFile(o) {
		file = path.Join(path.Dir(module), file)
	}
	return pipeline.Location{File: file, Unit: file, Method: "file symbol"}
}

func stem(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// ofOneFile reports whether a module was made from one source file. The files that modpost adds do
// not count.
func ofOneFile(o *pipeline.Object) bool {
	n := 0
	for _, file := range o.Files[1:] {
		if !strings.HasSuffix(file, ".mod.c") && !strings.HasSuffix(file, "module-common.c") {
			n++
		}
	}
	return n == 1
}

func unlocated(o *pipeline.Object) string {
	switch {
	case o.NoDebug:
		return "no debugging information"
	case o.Failed():
		return "object could not be read"
	}
	return "not in the debugging information"
}
