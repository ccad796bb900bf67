package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestColumns keeps the lines of Go files within 100 columns; a tab counts 4. Raw strings of
// several lines are exempt, since a line break would change them. So are lines of a single word,
// such as a URL, and rows of tables in tests.
func TestColumns(t *testing.T) {
	const columns = 100
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".cache" || e.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw := rawLines(source)
		number := 0
		for line := range strings.Lines(string(source)) {
			number++
			line = strings.TrimSuffix(line, "\n")
			width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			word := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//"))
			row := strings.HasPrefix(word, "{") || strings.HasPrefix(word, `"`)
			exempt := raw[number] || row && strings.HasSuffix(path, "_test.go")
			if width > columns && !exempt && strings.ContainsAny(word, " \t") {
				t.Errorf("%s:%d has %d columns", path, number, width)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rawLines returns the lines of a Go file that a raw string of several lines touches.
func rawLines(source []byte) map[int]bool {
	lines := map[int]bool{}
	file := token.NewFileSet().AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return lines
		}
		breaks := strings.Count(text, "\n")
		if tok == token.STRING && text[0] == '`' && breaks > 0 {
			first := file.Line(pos)
			for i := first; i <= first+breaks; i++ {
				lines[i] = true
			}
		}
	}
}

func TestRawLines(t *testing.T) {
	got := rawLines([]byte("package p\n\nvar a = `b\nc\n` + \"d\"\nvar e = `f`\n"))
	if len(got) != 3 || !got[3] || !got[4] || !got[5] {
		t.Errorf("%v", got)
	}
}
