package main

import (
	"bytes"
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"

	"kas/elf"
)

// screen escapes what a terminal would take for a command. File names and what a file holds come
// from outside.
type screen struct {
	io.Writer
	mu   sync.Mutex
	rest []byte // the begin of a character that was not written yet
}

// screened returns a writer that escapes, if w is a terminal or always is set.
func screened(w io.Writer, always bool) io.Writer {
	if always || isTerminal(w) {
		return &screen{Writer: w}
	}
	return w
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columnsOf returns the width of a terminal, 0 for anything else.
func columnsOf(w io.Writer) int {
	if c, ok := w.(*checked); ok {
		w = c.Writer
	}
	if s, ok := w.(*screen); ok {
		w = s.Writer
	}
	if !isTerminal(w) {
		return 0
	}
	columns, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil || columns <= 0 {
		return 80
	}
	return columns
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...)
	whole := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				whole -= n
			}
			break
		}
	}
	var out []byte
	for rest := text[:whole]; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\n\t")
		if n < 0 {
			n = len(rest)
		}
		out = append(out, elf.Escape(string(rest[:n]))...)
		if n < len(rest) {
			out = append(out, rest[n])
			n++
		}
		rest = rest[n:]
	}
	s.rest = bytes.Clone(text[whole:])
	if _, err := s.Writer.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
