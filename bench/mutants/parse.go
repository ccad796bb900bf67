package main

import (
	"fmt"
	"strings"
)

// parse reads the list of mutants; mutants.txt describes the format.
func parse(path, text string) ([]mutant, error) {
	var all []mutant
	var old, new []string
	seen := map[string]bool{}
	finish := func() error {
		if len(all) == 0 {
			return nil
		}
		m := &all[len(all)-1]
		m.old, m.new = strings.Join(old, "\n"), strings.Join(new, "\n")
		old, new = nil, nil
		if m.file == "" || m.pkg == "" || m.old == m.new || m.old == "" {
			return fmt.Errorf("%s: mutant %s lacks a file, a test or a change", path, m.name)
		}
		return nil
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		at := fmt.Sprintf("%s:%d", path, number)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "mutant "); ok {
			if err := finish(); err != nil {
				return nil, err
			}
			if seen[name] {
				return nil, fmt.Errorf("%s: there are two mutants %s", at, name)
			}
			seen[name] = true
			all = append(all, mutant{name: name})
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s: %q precedes the first mutant", at, line)
		}
		m := &all[len(all)-1]
		key, value, _ := strings.Cut(line, " ")
		switch {
		case line[0] == '-':
			old = append(old, line[1:])
		case line[0] == '+':
			new = append(new, line[1:])
		case key == "file":
			m.file = value
		case key == "test":
			var ok bool
			if m.pkg, m.tests, ok = strings.Cut(value, " "); !ok {
				return nil, fmt.Errorf("%s: a test is a package and a regular expression", at)
			}
		default:
			return nil, fmt.Errorf("%s: %q is no line of a mutant", at, line)
		}
	}
	return all, finish()
}
