package fetch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// content is a file of a server, larger than a stride.
var content = bytes.Repeat([]byte("0123456789abcdef"), 20_000)

var stamp = time.Unix(1_700_000_000, 0)

// serve starts a server for one test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/file"
}

// wanted is a check that only the content passes.
func wanted(path string) error {
	got, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(got, content) {
		err = fmt.Errorf("%d other bytes", len(got))
	}
	return err
}

// fails wants an error that matches, and no file.
func fails(t *testing.T, c *Client, from, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "got")
	err := c.Get(context.Background(), from, path, wanted)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") ||
		!strings.HasPrefix(err.Error(), strings.SplitAfter(from, "/file")[0]+": ") {
		t.Errorf("error %v, want one line with the URL and %q", err, want)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the file is there:", err)
	}
}

// holds wants a folder that has nothing but these.
func holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestGet(t *testing.T) {
	from := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", stamp, bytes.NewReader(content))
	})
	path := filepath.Join(t.TempDir(), "folder", "got")
	var last atomic.Int64
	c := &Client{Timeout: time.Minute, Progress: func(_ string, done, total int64) {
		if total != int64(len(content)) {
			t.Errorf("total %d", total)
		}
		last.Store(done)
	}}
	for range 2 { // the second replaces the first
		if err := c.Get(context.Background(), from, path, wanted); err != nil {
			t.Fatal(err)
		}
		if err := wanted(path); err != nil || last.Load() != int64(len(content)) {
			t.Error(err, last.Load())
		}
		holds(t, filepath.Dir(path), "got")
	}
	// The same as a file of a tree.
	if err := c.Get(context.Background(), "file://"+path, path+"2", wanted); err != nil {
		t.Error(err)
	}
	err := c.Get(context.Background(), "file://"+path+"3", path+"3", wanted)
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestGetFails: each way in which a server fails is one line, and leaves no file.
func TestGetFails(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	whole := func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }
	long := func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			w.Write(content)
		}
	}
	length := fmt.Sprint(len(content))
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		client  Client
		want    string
	}{
		"absent":      {status(404), Client{}, "not found"},
		"broken":      {status(503), Client{Retries: 3}, "503 Service Unavailable"},
		"not allowed": {status(406), Client{MaxSize: 10}, "406 Not Acceptable"},
		"other bytes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Write(append([]byte{'x'}, content[1:]...))
		}, Client{}, "what came is refused: 320000 other bytes"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", length)
			w.Write(content[:200_000])
		}, Client{}, "it ended after 200000 of " + length + " bytes"},
		"cut in an unknown size": {func(w http.ResponseWriter, _ *http.Request) {
			w.Write(content[:200_000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, Client{}, "it ended after 200000 of an unknown number of bytes"},
		"size of debuginfod": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Debuginfod-Size", length)
			w.(http.Flusher).Flush()
			w.Write(content[:200_000])
		}, Client{}, "it ended after 200000 of " + length + " bytes"},
		"two sizes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Debuginfod-Size", "7")
			w.Header().Set("Content-Length", length)
			w.Write(content)
		}, Client{}, "a file of 7 bytes in a body of 320000"},
		"more than it said": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Debuginfod-Size", "100000")
			w.(http.Flusher).Flush()
			w.Write(content)
		}, Client{}, "320000 bytes, but it said 100000"},
		"too large":    {whole, Client{MaxSize: 1000}, "bytes, more than the 1000 that"},
		"never ending": {long, Client{MaxSize: 1 << 20}, "more than the 1048576 that are allowed"},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			Client{Timeout: 50 * time.Millisecond, Retries: 100}, "less than 100 KiB in 50ms"},
		"hangs later": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", length)
			w.Write(content[:200_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, Client{Timeout: 100 * time.Millisecond, Retries: 100}, "less than 100 KiB in 100ms"},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(content[:1])
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		}, Client{Timeout: 100 * time.Millisecond}, "less than 100 KiB in 100ms"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/file", http.StatusFound)
		}, Client{Retries: 100}, "more than 5 redirects"},
		"to a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/hostname", http.StatusFound)
		}, Client{Retries: 100}, "a redirect from http to file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, &c.client, serve(t, c.handler), c.want)
		})
	}
	gone := httptest.NewServer(status(200))
	gone.Close()
	fails(t, &Client{Retries: 2}, gone.URL+"/file", "connection refused")
	fails(t, &Client{}, "gopher://host/file", "unsupported protocol scheme")
	secret := strings.Replace(serve(t, status(404)), "http://", "http://me:secret@", 1)
	err := (&Client{}).Get(context.Background(), secret, filepath.Join(t.TempDir(), "f"), wanted)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestGetRedirect follows a redirect as a mirror sends it.
func TestGetRedirect(t *testing.T) {
	mirror := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	from := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, mirror, http.StatusFound)
	})
	path := filepath.Join(t.TempDir(), "got")
	if err := (&Client{}).Get(context.Background(), from, path, wanted); err != nil {
		t.Error(err)
	}
}

// cutting serves content, but its first answers end after a part.
type cutting struct {
	cuts   int      // answers that end early
	header string   // that proves that the file is the same, "" for none
	ranges []string // what was asked for
	ignore bool     // sends the whole file whatever was asked for
	change bool     // it is another file after a cut
	lie    bool     // sends another part than was asked for
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := len(c.ranges)
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	name, value, _ := strings.Cut(c.header, ": ")
	if c.change {
		value = strings.Replace(value, "0", fmt.Sprint(n), 1)
	}
	if c.header != "" {
		w.Header().Set(name, value)
	}
	if c.ignore {
		r.Header.Del("Range")
	}
	if c.lie && r.Header.Get("Range") != "" {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%[1]d", len(content)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content[7:])
		return
	}
	if n < c.cuts {
		w = &shortWriter{w, 150_000}
	}
	body := content
	if c.change && n < c.cuts {
		body = bytes.ToUpper(content)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// shortWriter ends the connection after some bytes.
type shortWriter struct {
	http.ResponseWriter
	left int
}

func (s *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.ResponseWriter.Write(p[:n])
	if s.left -= n; s.left == 0 {
		s.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// TestGetResumes: what came before a cut is not fetched again, if the file is the same for sure.
func TestGetResumes(t *testing.T) {
	const tag, date = `Etag: "v0"`, "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT"
	for name, c := range map[string]struct {
		server cutting
		want   string // of the ranges
	}{
		"tag":          {cutting{cuts: 2, header: tag}, " bytes=150000- bytes=300000-"},
		"date":         {cutting{cuts: 1, header: date}, " bytes=150000-"},
		"weak tag":     {cutting{cuts: 1, header: `Etag: W/"v0"`}, " "},
		"nothing":      {cutting{cuts: 1}, " "},
		"another file": {cutting{cuts: 1, header: tag, change: true}, " bytes=150000-"},
		"no ranges":    {cutting{cuts: 1, header: tag, ignore: true}, " bytes=150000-"},
		"another part": {cutting{cuts: 1, header: tag, lie: true}, " bytes=150000- "},
	} {
		for _, processes := range []int{1, 3} {
			t.Run(fmt.Sprint(name, processes), func(t *testing.T) {
				server := c.server
				from := serve(t, server.ServeHTTP)
				path := filepath.Join(t.TempDir(), "got")
				var err error
				for range processes {
					client := Client{Retries: 3 / processes}
					if client.Retries == 1 {
						client.Retries = 0
					}
					err = client.Get(context.Background(), from, path, wanted)
					if err == nil {
						break
					}
				}
				if got := strings.Join(server.ranges, " "); err != nil || got != c.want {
					t.Errorf("asked for %q, want %q; %v", got, c.want, err)
				}
				holds(t, filepath.Dir(path), "got")
			})
		}
	}
}

// TestGetKeepsPart keeps what can be continued, and nothing else.
func TestGetKeepsPart(t *testing.T) {
	for _, header := range []string{"", `Etag: "v0"`} {
		server := cutting{cuts: 1, header: header}
		path := filepath.Join(t.TempDir(), "got")
		err := (&Client{}).Get(context.Background(), serve(t, server.ServeHTTP), path, wanted)
		if err == nil || !strings.Contains(err.Error(), "it ended after 150000") {
			t.Error(err)
		}
		if header == "" {
			holds(t, filepath.Dir(path))
			continue
		}
		holds(t, filepath.Dir(path), ".got.part", ".got.part.from")
		// The part of another URL is not continued.
		other := cutting{header: header}
		err = (&Client{}).Get(context.Background(), serve(t, other.ServeHTTP), path, wanted)
		if err != nil || strings.Join(other.ranges, " ") != "" {
			t.Error(other.ranges, err)
		}
		holds(t, filepath.Dir(path), "got")
	}
}

// TestGetTogether: two that want the same file fetch it once.
func TestGetTogether(t *testing.T) {
	var requests atomic.Int32
	began, proceed := make(chan bool), make(chan bool)
	from := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			close(began)
			<-proceed
		}
		w.Write(content)
	})
	path := filepath.Join(t.TempDir(), "got")
	errs := make(chan error)
	get := func() { errs <- (&Client{}).Get(context.Background(), from, path, wanted) }
	go get()
	<-began
	go get()
	time.Sleep(50 * time.Millisecond) // so that the second usually waits
	close(proceed)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	holds(t, filepath.Dir(path), "got")
}

// TestGetStops: the end of the context ends a request at once.
func TestGetStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	from := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := (&Client{Retries: 100}).Get(ctx, from, filepath.Join(t.TempDir(), "got"), wanted)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestGetPlace: errors of the file system, which are no server's.
func TestGetPlace(t *testing.T) {
	from := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := (&Client{}).Get(context.Background(), from, filepath.Join(dir, "file", "got"), wanted)
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Error(err)
	}
	// A link in the place of the part is not written through.
	target := filepath.Join(dir, "target")
	if err := os.Symlink(target, filepath.Join(dir, ".got.part")); err != nil {
		t.Fatal(err)
	}
	err = (&Client{}).Get(context.Background(), from, filepath.Join(dir, "got"), wanted)
	if err == nil {
		t.Error("written through a link")
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestFromEnvironment(t *testing.T) {
	home := t.TempDir()
	set := map[string]string{"HOME": home}
	get := func(name string) string { return set[name] }
	if d, err := FromEnvironment(get); d != nil || err != nil {
		t.Error(d, err)
	}
	set["DEBUGINFOD_URLS"] = "  ima:enforcing http://a/ \t https://b "
	d, err := FromEnvironment(get)
	if err != nil || strings.Join(d.URLs, ",") != "http://a/,https://b" || d.Detail ||
		d.Timeout != 90*time.Second || d.Retries != 2 || d.MaxSize != 0 ||
		d.Cache != home+"/.cache/debuginfod_client" {
		t.Errorf("%+v %v", d, err)
	}
	set["XDG_CACHE_HOME"] = "/x"
	if d, err := FromEnvironment(get); err != nil || d.Cache != "/x/debuginfod_client" {
		t.Errorf("%+v %v", d, err)
	}
	if err := os.Mkdir(home+"/.debuginfod_client_cache", 0o755); err != nil {
		t.Fatal(err)
	}
	if d, err := FromEnvironment(get); err != nil || d.Cache != home+"/.debuginfod_client_cache" {
		t.Errorf("%+v %v", d, err)
	}
	for name, value := range map[string]string{
		"TIMEOUT": "0", "RETRY_LIMIT": "-1", "MAXSIZE": "77", "PROGRESS": "1", "CACHE_PATH": "/c",
	} {
		set["DEBUGINFOD_"+name] = value
	}
	d, err = FromEnvironment(get)
	if err != nil || d.Timeout != 0 || d.Retries != 0 || d.MaxSize != 77 || !d.Detail ||
		d.Cache != "/c" {
		t.Errorf("%+v %v", d, err)
	}
	set["DEBUGINFOD_TIMEOUT"] = "soon"
	if _, err := FromEnvironment(get); err == nil || !strings.Contains(err.Error(), "=soon: ") {
		t.Error(err)
	}
	if _, err := FromEnvironment(func(name string) string {
		return map[string]string{"DEBUGINFOD_URLS": "http://a"}[name]
	}); err == nil {
		t.Error("a cache in no folder")
	}
}

// TestFind asks the servers in turn and keeps what is right.
func TestFind(t *testing.T) {
	const id = "0123abcd"
	var asked []string
	server := func(name string, answer http.HandlerFunc) string {
		return strings.TrimSuffix(serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, name+r.URL.Path)
			answer(w, r)
		}), "/file")
	}
	absent := server("absent", http.NotFound)
	liar := server("liar", func(w http.ResponseWriter, _ *http.Request) { w.Write(content[1:]) })
	good := server("good", func(w http.ResponseWriter, _ *http.Request) { w.Write(content) })
	d := &Debuginfod{URLs: []string{absent, liar, good + "/"}, Cache: t.TempDir()}
	path := filepath.Join(d.Cache, id, Executable)
	// elfutils keeps a file without bytes for what no server had.
	err := os.Mkdir(filepath.Dir(path), 0o755)
	if err := errors.Join(err, os.WriteFile(path, nil, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the cache
		got, err := d.Find(context.Background(), id, Executable, wanted)
		if err != nil || got != path {
			t.Fatal(got, err)
		}
	}
	const one = "/buildid/" + id + "/executable"
	if got := strings.Join(asked, " "); got != "absent"+one+" liar"+one+" good"+one {
		t.Errorf("asked for %s", got)
	}
	// A file of the cache that is damaged is fetched again.
	if err := os.WriteFile(path, []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = d.Find(context.Background(), id, Executable, wanted)
	if err := errors.Join(err, wanted(path)); err != nil {
		t.Error(err)
	}
	// A server that does not answer is asked once.
	gone := httptest.NewServer(nil)
	gone.Close()
	d.URLs = []string{gone.URL}
	for _, want := range []string{": connection refused", ": it did not answer before"} {
		_, err := d.Find(context.Background(), id, Debuginfo, wanted)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	d.URLs = []string{absent, liar}
	_, err = d.Find(context.Background(), id, Debuginfo, wanted)
	if err == nil || strings.Contains(err.Error(), "\n") || !errors.Is(err, ErrNotFound) ||
		strings.Count(err.Error(), "; ") != 1 {
		t.Errorf("%v, want one line with each server", err)
	}
	holds(t, filepath.Dir(path), Executable)
	if _, err := d.Find(context.Background(), "../etc", Debuginfo, wanted); err == nil {
		t.Error("../etc is no build ID")
	}
}

// TestNoHTTP: a server that is no HTTP server.
func TestNoHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// Before the request, net/http takes an answer for one to an older request.
			http.ReadRequest(bufio.NewReader(conn))
			conn.Write([]byte("220 mail.example.org ESMTP\r\n"))
			conn.Close()
		}
	}()
	fails(t, &Client{Retries: 1}, "http://"+l.Addr().String()+"/file", "malformed HTTP")
}
