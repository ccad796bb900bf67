package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"kas/elf"
)

// bar draws one line on a terminal that shows how far something is, and erases it. Its callers
// exclude each other.
type bar struct {
	w     *os.File
	drawn time.Time // when the line on the screen was drawn, zero if there is none
	begun time.Time
}

// newBar returns a bar for w, nil if lines of text are better: w is no terminal that can erase a
// line, or a CI system keeps what is written.
func newBar(w io.Writer) *bar {
	if s, ok := w.(*screen); ok {
		w = s.Writer // the bar is made of commands
	}
	if !isTerminal(w) || os.Getenv("TERM") == "dumb" || os.Getenv("CI") != "" {
		return nil
	}
	return &bar{w: w.(*os.File), begun: time.Now()}
}

// redraw is the least time between two drawings.
const redraw = 80 * time.Millisecond

// draw shows that the fraction, from 0 to 1, is done. The texts are dropped from the last one on
// if the terminal is too narrow.
func (b *bar) draw(fraction float64, texts ...string) {
	now := time.Now()
	if now.Sub(b.drawn) < redraw {
		return
	}
	b.drawn = now
	if left := timeLeft(fraction, now.Sub(b.begun)); left != "" {
		texts = append(texts[:1:1], append([]string{left}, texts[1:]...)...)
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s", barText(fraction, columnsOf(b.w)-1, texts))
}

// erase removes the line.
func (b *bar) erase() {
	if b == nil || b.drawn.IsZero() {
		return
	}
	b.drawn = time.Time{}
	fmt.Fprint(b.w, "\r\x1b[K")
}

// timeLeft estimates how long the rest takes, "" as long as that is a guess.
func timeLeft(fraction float64, elapsed time.Duration) string {
	if fraction < 0.05 || elapsed < time.Second {
		return ""
	}
	left := time.Duration(float64(elapsed) * (1 - fraction) / fraction)
	switch {
	case left < time.Minute:
		return fmt.Sprintf("%d s left", int(left.Seconds())+1)
	case left < time.Hour:
		return fmt.Sprintf("%d min left", int(left.Minutes())+1)
	}
	return fmt.Sprintf("%d h %02d min left", int(left.Hours()), int(left.Minutes())%60)
}

// barText returns what fits so many columns: the percentage, the texts, and a bar if there is room.
func barText(fraction float64, columns int, texts []string) string {
	fraction = min(max(fraction, 0), 1)
	line := fmt.Sprintf("%3d%%", int(100*fraction))
	for i, text := range texts {
		if text = elf.Escape(text); text == "" {
			continue
		}
		separator := ", "
		if i == 0 {
			separator = "  "
		}
		if utf8.RuneCountInString(line+separator+text) > columns {
			break
		}
		line += separator + text
	}
	const widest, least = 24, 8
	room := min(columns-utf8.RuneCountInString(line)-2, widest)
	if room < least {
		if len(line) > columns {
			return ""
		}
		return line
	}
	done := int(float64(room) * fraction)
	return line[:4] + "  " + strings.Repeat("█", done) + strings.Repeat("░", room-done) + line[4:]
}
