package elf

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Control reports whether a name has a control byte: one below the space, or DEL. A table cannot
// contain such a name, since it could make a column or a line of its own, or command a terminal.
func Control[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// Escape returns a text in which everything that a terminal cannot print is written as in Go:
// "\x1b" for an escape, "\n" for a newline.
func Escape(text string) string {
	printable := func(r rune) bool { return strconv.IsPrint(r) && r != utf8.RuneError }
	if strings.IndexFunc(text, func(r rune) bool { return !printable(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if printable(r) {
			b.WriteString(text[:n])
		} else {
			quoted := strconv.Quote(text[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}
