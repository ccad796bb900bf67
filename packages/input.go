package packages

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow limits the memory of a decoder: the window of zstd and the dictionary of xz. `zstd
// --ultra -22` and `xz -9` need no more.
const maxWindow = 128 << 20

// input is the package that is read.
type input struct {
	ctx  context.Context
	file io.ReaderAt
	size int64
	step func(int64)

	closers []func()
}

func (in *input) close() {
	for _, c := range in.closers {
		c()
	}
}

// part is a part of the package as a reader, which counts what is read.
func (in *input) part(from, size int64) io.Reader {
	return &part{in, io.NewSectionReader(in.file, from, size), from}
}

type part struct {
	in *input
	r  io.Reader
	at int64
}

func (p *part) Read(b []byte) (int, error) {
	if err := p.in.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.at += int64(n)
	p.in.step(p.at)
	return n, err
}

// decompress returns a reader of the content of a part of the package, by the suffix of its name:
// xz, zst, gz, bz2, or none. xz blocks are decoded in parallel.
func (in *input) decompress(from, size int64, suffix string) (io.Reader, error) {
	r := bufio.NewReaderSize(in.part(from, size), 1<<16)
	switch suffix {
	case "":
		return r, nil
	case "xz":
		if blocks, err := in.blocks(from, size); err == nil && len(blocks) > 1 {
			return in.parallel(blocks), nil
		}
		return xz.NewReader(r, maxWindow)
	case "zst", "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		in.closers = append(in.closers, d.Close)
		return d, nil
	case "gz", "gzip":
		return gzip.NewReader(r)
	case "bz2", "bzip2":
		return bzip2.NewReader(r), nil
	}
	return nil, fmt.Errorf("compressed with %q, which kas does not read", suffix)
}

// truncated returns a clear error for the end of a file within something.
func truncated(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return errors.New("the file ends here: it is truncated")
	}
	return err
}
