package main

import (
	"fmt"
	"io"
	"sync"

	"kas/fetch"
)

// downloads counts what was fetched, and shows how far a large file is on a terminal.
type downloads struct {
	mu    sync.Mutex
	files int
	bytes int64
}

func (d *downloads) watch(servers *fetch.Debuginfod, stderr io.Writer) {
	servers.Fetched = func(url string, size int64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.files++
		d.bytes += size
		if servers.Detail {
			fmt.Fprintf(stderr, "kas: fetched %s, %s\n", url, megabytes(size))
		}
	}
	if newBar(stderr) == nil {
		return
	}
	const large = 32 << 20 // smaller ones have the bar of their stage
	var bar *bar
	var of string
	servers.Progress = func(url string, done, total int64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if total < large || bar != nil && of != url {
			return
		}
		if bar == nil {
			of, bar = url, newBar(stderr)
		}
		bar.draw(float64(done)/float64(total), "fetching", megabytes(total))
		if done >= total {
			bar.erase()
			bar = nil
		}
	}
}

// note says what was fetched.
func (d *downloads) note(stderr io.Writer) {
	if d.files > 0 {
		fmt.Fprintf(stderr, "kas: fetched %d files, %s\n", d.files, megabytes(d.bytes))
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
