// Package fetch gets files from servers by HTTP: debuginfod's debug files, and finished registries.
// What comes is not trusted: it gets its name only when it is whole and passed a check.
//
// net/http makes the program 3 MB larger, 17 %. It does not change the time of a start: its
// packages take 0.04 of 5 ms.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotFound says that a server does not have a file.
var ErrNotFound = errors.New("not found")

// Client says how files are fetched. The zero value waits for ever and tries once.
type Client struct {
	// Timeout is how long a server may take for the next stride of bytes, and for the rest if that
	// is less; 0 means for ever.
	Timeout time.Duration

	Retries int   // further attempts after a connection failed or ended early
	MaxSize int64 // of a file, in bytes; 0 means any that may be true

	// Progress is called while a file comes, from several goroutines. total is -1 if the server
	// does not say it. nil is not called.
	Progress func(url string, done, total int64)

	// Fetched is called after each file that came, also from several goroutines.
	Fetched func(url string, size int64)
}

const (
	// stride is how many bytes must come in the time of Timeout, as debuginfod's clients count it.
	stride = 100 << 10
	// largest is the size of the largest file that is taken. vmlinux with its debugging information
	// has some 600 MB, one for a sanitizer 2 GB.
	largest = 16 << 30
	// maxRedirects is how many a request follows.
	maxRedirects = 5
)

// Get fetches a URL (http, https or file) to a file in a folder that is made if it is not there.
// check gets the path of what came; if it returns an error, the file is removed. A file that is at
// path already is replaced.
//
// A file that is incomplete is kept beside path. The next Get of the same URL continues it if the
// server can send a part, and says that its file is the same. Processes that fetch the same file
// wait for each other.
//
// The error is one line that names the URL. It wraps ErrNotFound if the server does not have it.
func (c *Client) Get(ctx context.Context, from, path string, check func(path string) error) error {
	shown := Redacted(from)
	p, err := openPart(path)
	if err != nil {
		return err
	}
	defer p.file.Close()
	if p.done {
		return nil
	}
	if err := c.whole(ctx, from, shown, p); err != nil {
		p.keepOrRemove()
		return fmt.Errorf("%s: %w", shown, plain(err))
	}
	if err := check(p.file.Name()); err != nil {
		p.remove()
		return fmt.Errorf("%s: what came is refused: %w", shown, err)
	}
	if err := errors.Join(p.file.Sync(), os.Rename(p.file.Name(), path)); err != nil {
		p.remove()
		return err
	}
	os.Remove(p.about())
	if c.Fetched != nil {
		c.Fetched(shown, p.total)
	}
	return nil
}

// Redacted returns a URL without its password, for messages.
func Redacted(from string) string {
	if u, err := url.Parse(from); err == nil {
		return u.Redacted()
	}
	return from
}

// whole fetches until all of the file is there.
func (c *Client) whole(ctx context.Context, from, shown string, p *part) error {
	for attempt := 0; ; attempt++ {
		err := c.attempt(ctx, from, shown, p)
		if err == nil || attempt >= c.Retries || !errors.As(err, new(lost)) || ctx.Err() != nil {
			return err
		}
	}
}

// lost is an error of the connection: another attempt may succeed.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// unreachable is an error of a server that does not answer.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// hung is the error of a server that sends too little in Timeout.
type hung struct{ error }

// attempt sends one request and appends to the part, or begins it anew.
func (c *Client) attempt(ctx context.Context, from, shown string, p *part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := unreachable{hung{fmt.Errorf("less than %d KiB in %s: the server hangs",
		stride>>10, c.Timeout)}}
	watch := time.AfterFunc(max(c.Timeout, 0), func() {
		if c.Timeout > 0 {
			cancel(late)
		}
	})
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kas")
	if c.MaxSize > 0 {
		req.Header.Set("X-Debuginfod-Maxsize", strconv.FormatInt(c.MaxSize, 10))
	}
	at := p.resumable(from)
	if at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
		req.Header.Set("If-Range", p.validator)
	}
	response, err := client().Do(req)
	switch {
	case errors.As(err, new(refusal)):
		return err
	case err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return lost{unreachable{err}}
	}
	defer response.Body.Close()
	if at > 0 && response.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return p.anew(errors.New(response.Status))
	}
	if err := p.accept(response, from, at, c.limit()); err != nil {
		return err
	}
	progress := func(done int64) {
		if c.Progress != nil {
			c.Progress(shown, done, p.total)
		}
	}
	fed := func() { watch.Reset(c.Timeout) }
	if err := p.read(response.Body, c.limit(), progress, fed); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return nil
}

func (c *Client) limit() int64 {
	if c.MaxSize > 0 {
		return min(c.MaxSize, largest)
	}
	return largest
}

// refusal is an error about what a server wants, so that no further attempt is made.
type refusal struct{ error }

// client is made when it is needed: few commands fetch anything.
var client = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: transport(), CheckRedirect: checkRedirect}
})

func checkRedirect(next *http.Request, before []*http.Request) error {
	was := before[len(before)-1].URL
	switch {
	case len(before) > maxRedirects:
		return refusal{fmt.Errorf("more than %d redirects", maxRedirects)}
	case next.URL.Scheme != was.Scheme && next.URL.Scheme != "https":
		return refusal{fmt.Errorf("a redirect from %s to %s", was.Scheme, next.URL.Scheme)}
	}
	return nil
}

// transport also reads file:///FOLDER, for a tree of files that a network file system holds.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // sizes and ranges are those of the file
	t.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	return t
}

// plain takes what Go's client adds to an error, the method and the URL, off it.
func plain(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		if errors.As(err, new(unreachable)) {
			return unreachable{u.Err}
		}
		err = u.Err
	}
	return err
}

// part is a file that is being fetched, under a name of its own. Its lock keeps other processes
// away.
type part struct {
	file *os.File
	done bool // another process fetched the file while this one waited

	// What the server said of the file. A validator is what If-Range takes, a strong entity tag or
	// a date (RFC 9110, section 13.1.5); "" if the server gave none.
	from, validator string
	total           int64 // in bytes, -1 if not known
}

// openPart opens the part of the file at path and waits until no other process fetches it.
func openPart(path string) (*part, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	was, wasErr := os.Stat(path)
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	for {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
		if err != nil {
			return nil, err
		}
		for {
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		mine, statErr := file.Stat()
		if err = errors.Join(err, statErr); err != nil {
			file.Close()
			return nil, err
		}
		p := &part{file: file, total: -1}
		if now, err := os.Stat(path); err == nil && (wasErr != nil || !os.SameFile(was, now)) {
			p.done = true
		}
		if here, err := os.Lstat(name); err == nil && os.SameFile(mine, here) {
			if p.done {
				p.remove()
			}
			p.load()
			return p, nil
		}
		if p.done {
			return p, nil
		}
		file.Close() // renamed or removed while this process waited
	}
}

// about is the file that says what the part is a part of.
func (p *part) about() string { return p.file.Name() + ".from" }

// load reads what an earlier process noted about the part.
func (p *part) load() {
	text, _ := os.ReadFile(p.about())
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 {
		return
	}
	if n, err := strconv.ParseInt(lines[2], 10, 64); err == nil {
		p.from, p.validator, p.total = lines[0], lines[1], n
	}
}

// resumable returns from which byte on the file is missing, 0 if it must be fetched anew.
func (p *part) resumable(from string) int64 {
	size, err := p.file.Seek(0, io.SeekEnd)
	if err != nil || p.from != from || p.validator == "" || p.total <= 0 || size >= p.total {
		return 0
	}
	return size
}

// accept looks at a response's header, and prepares the part for its body. at is the offset that
// was asked for.
func (p *part) accept(r *http.Response, from string, at, limit int64) error {
	switch {
	case r.StatusCode == http.StatusNotFound:
		return ErrNotFound
	case r.StatusCode == http.StatusPartialContent && at > 0:
		begin, total := int64(-1), int64(-1)
		fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-", &begin)
		if _, size, ok := strings.Cut(r.Header.Get("Content-Range"), "/"); ok {
			total, _ = strconv.ParseInt(size, 10, 64)
		}
		if begin != at || total != p.total {
			return p.anew(fmt.Errorf("a part from %d of %d bytes, want %d of %d",
				begin, total, at, p.total))
		}
		return nil
	case r.StatusCode != http.StatusOK:
		return errors.New(r.Status)
	}
	p.from, p.total, p.validator = from, r.ContentLength, r.Header.Get("Last-Modified")
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil {
		p.total = n // of a file:// URL, which has no ContentLength
	}
	if tag := r.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		p.validator = tag
	}
	if n, err := strconv.ParseInt(r.Header.Get("X-Debuginfod-Size"), 10, 64); err == nil {
		if p.total >= 0 && n != p.total {
			return fmt.Errorf("a file of %d bytes in a body of %d", n, p.total)
		}
		p.total = n
	}
	if p.total > limit {
		return tooLarge(p.total, limit)
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return errors.Join(err, p.file.Truncate(0))
}

// anew makes the next attempt begin at the first byte.
func (p *part) anew(err error) error {
	p.validator = ""
	return lost{err}
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("a file of %d bytes, more than the %d that are allowed", size, limit)
}

// read appends the body to the part. fed is called for each stride of bytes.
func (p *part) read(body io.Reader, limit int64, progress func(done int64), fed func()) error {
	done, err := p.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for last := done; ; {
		n, err := body.Read(buf)
		if done += int64(n); done > limit {
			return tooLarge(done, limit)
		}
		if _, err := p.file.Write(buf[:n]); err != nil {
			return err
		}
		if done-last >= stride {
			last = done
			fed()
		}
		progress(done)
		switch {
		case err == io.EOF && (p.total < 0 || done == p.total):
			p.total = done
			return nil
		case err == io.EOF && done > p.total:
			return p.anew(fmt.Errorf("%d bytes, but it said %d", done, p.total))
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return lost{fmt.Errorf("it ended after %d of %s bytes", done, known(p.total))}
		case err != nil:
			return lost{fmt.Errorf("after %d of %s bytes: %w", done, known(p.total), err)}
		}
	}
}

func known(total int64) string {
	if total < 0 {
		return "an unknown number of"
	}
	return strconv.FormatInt(total, 10)
}

// keepOrRemove keeps a part that a later request can continue.
func (p *part) keepOrRemove() {
	about := fmt.Sprintf("%s\n%s\n%d\n", p.from, p.validator, p.total)
	if p.resumable(p.from) == 0 || os.WriteFile(p.about(), []byte(about), 0o644) != nil {
		p.remove()
	}
}

func (p *part) remove() {
	os.Remove(p.file.Name())
	os.Remove(p.about())
}
