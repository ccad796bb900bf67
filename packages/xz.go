package packages

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"runtime"
	"slices"

	"github.com/mikelolasagasti/xz"
)

// An .xz file may consist of blocks that can be decoded each by itself; dpkg makes blocks of 24 MB.
// The index at the end of the file has the sizes of all (The .xz File Format 1.1.0, section 4).

// block is a block of an .xz file.
type block struct {
	from     int64 // offset in the package
	unpadded int64 // size without the padding to four bytes
	size     int64 // of the content
	flags    [2]byte
}

const (
	xzMagic  = "\xfd7zXZ\x00"
	xzHeader = 12 // of the header and the footer of a stream

	// maxBlock is the size of the content from which a block is decoded as a stream, since it would
	// not fit into memory several times.
	maxBlock = 96 << 20
	maxIndex = 16 << 20
)

var errNotBlocks = errors.New("not one stream of blocks")

// blocks returns the blocks of the .xz file at an offset of the package. It is an error if they
// cannot be decoded one by one. Damage is then found by the decoder of the whole stream.
func (in *input) blocks(from, size int64) ([]block, error) {
	if size < 2*xzHeader {
		return nil, errNotBlocks
	}
	header, footer := make([]byte, xzHeader), make([]byte, xzHeader)
	if _, err := in.file.ReadAt(header, from); err != nil {
		return nil, err
	}
	if _, err := in.file.ReadAt(footer, from+size-xzHeader); err != nil {
		return nil, err
	}
	// The footer: CRC-32, the size of the index in words minus one, flags, "YZ" (section 2.1.2).
	n := (int64(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	if string(header[:6]) != xzMagic || string(footer[10:]) != "YZ" ||
		!bytes.Equal(header[6:8], footer[8:10]) || n > min(maxIndex, size-2*xzHeader) ||
		crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer) {
		return nil, errNotBlocks
	}
	index := make([]byte, n)
	if _, err := in.file.ReadAt(index, from+size-xzHeader-n); err != nil {
		return nil, err
	}
	all, err := parseIndex(index)
	if err != nil {
		return nil, err
	}
	at := from + xzHeader
	for i := range all {
		all[i].from, all[i].flags = at, [2]byte(header[6:8])
		if at += (all[i].unpadded + 3) &^ 3; at > from+size {
			return nil, errNotBlocks
		}
	}
	if at != from+size-xzHeader-n {
		return nil, errNotBlocks
	}
	return all, nil
}

// parseIndex reads an index: a zero byte, the number of blocks, for each its unpadded size and that
// of its content, padding and CRC-32 (section 4). Numbers have seven bits in each byte.
func parseIndex(index []byte) (all []block, err error) {
	body := index[:len(index)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(index[len(body):]) || body[0] != 0 {
		return nil, errNotBlocks
	}
	rest := body[1:]
	number := func() int64 {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > 1<<62 {
			err = errNotBlocks
			return 0
		}
		rest = rest[n:]
		return int64(v)
	}
	count := number()
	for i := int64(0); i < count && err == nil; i++ {
		b := block{unpadded: number(), size: number()}
		if b.unpadded < 5 || b.unpadded > 1<<40 || b.size > maxBlock {
			return nil, errNotBlocks
		}
		all = append(all, b)
	}
	return all, err
}

// alone returns the block as an .xz file of its own.
func (b *block) alone(in *input) io.Reader {
	header := append([]byte(xzMagic), b.flags[:]...)
	header = binary.LittleEndian.AppendUint32(header, crc32.ChecksumIEEE(b.flags[:]))
	index := binary.AppendUvarint([]byte{0, 1}, uint64(b.unpadded))
	index = binary.AppendUvarint(index, uint64(b.size))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	back := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	back = append(back, b.flags[:]...)
	footer := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(back))
	footer = append(append(footer, back...), "YZ"...)
	return io.MultiReader(bytes.NewReader(header),
		io.NewSectionReader(in.file, b.from, (b.unpadded+3)&^3),
		bytes.NewReader(append(index, footer...)))
}

// parallel returns a reader of the content of blocks, which are decoded in parallel: for each
// processor one is, and as many wait to be read.
func (in *input) parallel(blocks []block) io.Reader {
	ctx, cancel := context.WithCancel(in.ctx)
	largest := slices.MaxFunc(blocks, func(a, b block) int { return cmp.Compare(a.size, b.size) })
	buffers := int(maxMemory / max(1, largest.size+largest.unpadded))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(blocks), buffers-2))
	r := &blockReader{in: in, blocks: blocks, done: make(chan chan decoded, workers)}
	free := make(chan *decoder, workers)
	for range workers {
		free <- &decoder{}
	}
	r.buffers = make(chan []byte, workers+2)
	for range workers + 2 {
		r.buffers <- nil
	}
	stopped := make(chan struct{})
	in.closers = append(in.closers, func() { cancel(); <-stopped })
	go func() {
		defer close(stopped)
		defer close(r.done)
		for i := range blocks {
			var d *decoder
			var buf []byte
			select {
			case buf = <-r.buffers:
			case <-ctx.Done():
				return
			}
			select {
			case d = <-free:
			case <-ctx.Done():
				return
			}
			result := make(chan decoded, 1)
			go func() {
				result <- d.decode(in, &blocks[i], buf)
				free <- d
			}()
			select {
			case r.done <- result:
			case <-ctx.Done():
				return
			}
		}
	}()
	return r
}

// maxMemory is about how many bytes the blocks in memory may have.
const maxMemory = 512 << 20

// decoder decodes one block after the other.
type decoder struct {
	lzma   *lzma
	packed []byte
	xz     *xz.Reader // for blocks with other filters than LZMA2
}

type decoded struct {
	content []byte
	err     error
}

func (d *decoder) decode(in *input, b *block, buf []byte) decoded {
	if int64(cap(buf)) < b.size {
		buf = make([]byte, b.size)
	}
	buf = buf[:b.size]
	err := d.decodeLZMA(in, b, buf)
	if errors.Is(err, errOtherFilter) {
		err = d.decodeAny(in, b, buf)
	}
	if err != nil {
		err = fmt.Errorf("xz block at %d: %w", b.from, err)
	}
	return decoded{buf, err}
}

var errOtherFilter = errors.New("not only LZMA2, or with an unknown check")

// decodeLZMA decodes a block that has LZMA2 as its only filter, into a buffer of its size.
func (d *decoder) decodeLZMA(in *input, b *block, buf []byte) error {
	padded := (b.unpadded + 3) &^ 3
	if int64(cap(d.packed)) < padded {
		d.packed = make([]byte, padded)
	}
	packed := d.packed[:padded]
	if _, err := in.file.ReadAt(packed, b.from); err != nil {
		return err
	}
	size, err := blockHeader(packed)
	if err != nil {
		return err
	}
	sum, bytes, err := b.check()
	if err != nil || size+bytes > int(b.unpadded) {
		return cmp.Or(err, errLZMA)
	}
	if d.lzma == nil {
		d.lzma = &lzma{}
	}
	// Padding is between the data and the check.
	if err := d.lzma.decode(packed[size:int(b.unpadded)-bytes], buf); err != nil {
		return err
	}
	if want := packed[len(packed)-bytes:]; sum != nil && !slices.Equal(want, sum(buf)) {
		return errLZMA
	}
	return nil
}

// blockHeader returns the size of a block's header (section 3.1): the size in words, flags,
// filters, padding, CRC-32. kas decodes blocks with the flags and the filter of dpkg and `xz -T`:
// sizes may be there, since the index has the same.
func blockHeader(packed []byte) (size int, err error) {
	if len(packed) < 8 {
		return 0, errLZMA
	}
	size = (int(packed[0]) + 1) * 4
	if packed[0] == 0 || size > len(packed) ||
		crc32.ChecksumIEEE(packed[:size-4]) != binary.LittleEndian.Uint32(packed[size-4:]) {
		return 0, errLZMA
	}
	flags, rest := packed[1], packed[2:size-4]
	if flags&^0xc0 != 0 {
		return 0, errOtherFilter
	}
	for _, bit := range []byte{0x40, 0x80} { // the sizes
		if flags&bit != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return 0, errLZMA
			}
			rest = rest[n:]
		}
	}
	// The filter: LZMA2 has the number 0x21 and one byte of properties.
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 || rest[2] > 40 {
		return 0, errOtherFilter
	}
	return size, nil
}

// check returns the function of the check that follows a block, nil for none, and its size.
func (b *block) check() (sum func([]byte) []byte, size int, err error) {
	switch b.flags[1] {
	case 0:
		return nil, 0, nil
	case 1:
		return func(p []byte) []byte {
			return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p))
		}, 4, nil
	case 4:
		return func(p []byte) []byte {
			return binary.LittleEndian.AppendUint64(nil, crc64.Checksum(p, ecma))
		}, 8, nil
	}
	return nil, 0, errOtherFilter
}

var ecma = crc64.MakeTable(crc64.ECMA)

// decodeAny decodes a block with any filter.
func (d *decoder) decodeAny(in *input, b *block, buf []byte) (err error) {
	if d.xz == nil {
		d.xz, err = xz.NewReader(b.alone(in), maxWindow)
	} else {
		err = d.xz.Reset(b.alone(in))
	}
	if err == nil {
		_, err = io.ReadFull(d.xz, buf)
	}
	if err == nil {
		// The checksums follow the content.
		var more [1]byte
		if n, end := d.xz.Read(more[:]); n > 0 || end != io.EOF {
			err = xz.ErrData
			if n == 0 {
				err = end
			}
		}
	}
	return err
}

// blockReader reads decoded blocks in order.
type blockReader struct {
	in      *input
	blocks  []block
	done    chan chan decoded
	buffers chan []byte

	now  decoded
	rest []byte
	next int
}

func (r *blockReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.now.err != nil {
			return 0, r.now.err
		}
		if r.now.content != nil {
			r.buffers <- r.now.content
			r.now.content = nil
		}
		result, ok := <-r.done
		if err := r.in.ctx.Err(); err != nil {
			return 0, err
		}
		if !ok {
			return 0, io.EOF
		}
		r.now = <-result
		b := &r.blocks[r.next]
		r.next++
		r.in.step(b.from + b.unpadded)
		if r.rest = r.now.content; r.now.err != nil {
			r.rest = nil
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
