package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// rpmMagic begins the lead of an .rpm file, of 96 bytes (rpm's manual, "Package format"). The
// signature header, the header and the payload follow.
const (
	rpmMagic  = "\xed\xab\xee\xdb"
	rpmLead   = 96
	rpmHeader = "\x8e\xad\xe8\x01"

	maxHeader = 256 << 20 // rpm's own limit
)

// Tags of the headers that kas reads.
const (
	sigSHA256 = 273 // of the header, in hexadecimal

	tagFileSizes     = 1028
	tagFileModes     = 1030
	tagFileLinks     = 1036 // targets of symbolic links
	tagFileInodes    = 1096
	tagDirIndexes    = 1116
	tagBaseNames     = 1117
	tagDirNames      = 1118
	tagFormat        = 1124
	tagCompressor    = 1125
	tagLongFileSizes = 5008
	tagPayloadDigest = 5092
	tagDigestAlgo    = 5093
)

const digestSHA256 = 8 // of tagDigestAlgo

// header is a header of an .rpm file: entries of a tag, a type, an offset into the store and a
// count, all most significant byte first.
type header struct {
	bytes []byte // the whole header
	index []byte
	store []byte
}

// readHeader reads the header at an offset: magic, four reserved bytes, the number of entries, the
// size of the store.
func (in *input) readHeader(at int64) (h header, end int64, err error) {
	intro := make([]byte, 16)
	if _, err := in.file.ReadAt(intro, at); err != nil {
		return h, 0, fmt.Errorf("offset %d: a header: %w", at, truncated(err))
	}
	if string(intro[:4]) != rpmHeader {
		return h, 0, fmt.Errorf("offset %d: not a header of an rpm", at)
	}
	entries := int64(binary.BigEndian.Uint32(intro[8:])) * 16
	store := int64(binary.BigEndian.Uint32(intro[12:]))
	if size := 16 + entries + store; size > maxHeader || size > in.size-at {
		return h, 0, fmt.Errorf("offset %d: a header of %d bytes, more than there can be", at, size)
	}
	h.bytes = make([]byte, 16+entries+store)
	if _, err := in.file.ReadAt(h.bytes, at); err != nil {
		return h, 0, fmt.Errorf("offset %d: a header: %w", at, truncated(err))
	}
	h.index, h.store = h.bytes[16:16+entries], h.bytes[16+entries:]
	return h, at + int64(len(h.bytes)), nil
}

// find returns the part of the store where the values of a tag begin, and their number.
func (h *header) find(tag uint32) (data []byte, count int) {
	for e := h.index; len(e) >= 16; e = e[16:] {
		at, n := binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])
		if binary.BigEndian.Uint32(e) == tag && int64(at) <= int64(len(h.store)) {
			return h.store[at:], int(n)
		}
	}
	return nil, 0
}

// texts returns the strings of a tag. A missing or damaged one makes the result shorter.
func (h *header) texts(tag uint32) (all []string) {
	data, n := h.find(tag)
	for range n {
		text, rest, ok := bytes.Cut(data, []byte{0})
		if !ok {
			break
		}
		all = append(all, string(text))
		data = rest
	}
	return all
}

func (h *header) text(tag uint32) string {
	if all := h.texts(tag); len(all) > 0 {
		return all[0]
	}
	return ""
}

// numbers returns the numbers of a tag, of width bytes each.
func (h *header) numbers(tag uint32, width int) (all []uint64) {
	data, n := h.find(tag)
	for ; n > 0 && len(data) >= width; n-- {
		v := uint64(0)
		for _, b := range data[:width] {
			v = v<<8 | uint64(b)
		}
		all = append(all, v)
		data = data[width:]
	}
	return all
}

func readRPM(in *input, u *unpacker) error {
	signature, end, err := in.readHeader(rpmLead)
	if err != nil {
		return err
	}
	at := (end + 7) &^ 7
	h, payload, err := in.readHeader(at)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(h.bytes)
	if want := signature.text(sigSHA256); want != "" && want != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("offset %d: the header does not have its checksum", at)
	}
	if err := in.checkPayload(&h, payload); err != nil {
		return err
	}
	if f := h.text(tagFormat); f != "" && f != "cpio" {
		return fmt.Errorf("its payload is %s, which kas does not read", show(f))
	}
	if err := in.readPayload(&h, payload, u); err != nil {
		return fmt.Errorf("payload at %d: %w", payload, truncated(err))
	}
	return nil
}

// checkPayload compares the payload, as it is in the file, with its digest in the header.
func (in *input) checkPayload(h *header, from int64) error {
	want := h.text(tagPayloadDigest)
	algo := h.numbers(tagDigestAlgo, 4)
	if want == "" || len(algo) == 0 || algo[0] != digestSHA256 {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, in.part(from, in.size-from)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("offset %d: the payload has SHA-256 %.8s..., and the header says "+
			"%.8s...: the file is damaged or truncated", from, got, want)
	}
	return nil
}

func (in *input) readPayload(h *header, from int64, u *unpacker) error {
	suffix := h.text(tagCompressor)
	magic := make([]byte, 4)
	if _, err := in.file.ReadAt(magic, from); err != nil {
		return err
	}
	if suffix == "" && string(magic) != "0707" {
		suffix = "gzip" // as before the tag; without compression there is no tag, either
	}
	r, err := in.decompress(from, in.size-from, suffix)
	if err != nil {
		return err
	}
	r = u.limited(r)
	first := make([]byte, 6)
	if _, err := io.ReadFull(r, first); err != nil {
		return err
	}
	rest := &ending{r: io.MultiReader(bytes.NewReader(first), r)}
	if string(first) == stripped {
		err = readStripped(rest, h, u)
	} else {
		err = readCPIO(rest, u)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return err
}

// ending notes whether something tried to read after the end.
type ending struct {
	r     io.Reader
	after bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.after = e.after || n == 0 && err == io.EOF
	return n, err
}

// readCPIO reads an archive of the "new" format of SVR4, 070701 or 070702.
func readCPIO(r *ending, u *unpacker) error {
	c := cpio.NewReader(r)
	for {
		h, err := c.Next()
		if err == io.EOF && !r.after {
			return nil // at the trailer
		}
		if err != nil {
			return err
		}
		if h.Size < 0 {
			return fmt.Errorf("entry %s: its size is negative", show(h.Name))
		}
		e := entry{name: h.Name, link: h.Linkname, size: h.Size, kind: kindOf(uint64(h.Mode))}
		if h.Links > 1 {
			e.node = h.Inode
		}
		if err := u.add(e, c); err != nil {
			return err
		}
	}
}

// kindOf returns what a file of this st_mode is.
func kindOf(mode uint64) kind {
	switch mode & cpio.ModeType {
	case cpio.TypeReg:
		return regular
	case cpio.TypeSymlink:
		return symlink
	case cpio.TypeDir:
		return folder
	}
	return device
}

// stripped is the magic of an archive whose entries are only numbers of files in the header: rpm
// writes it if a file has 4 GB or more. After the magic and the number, of eight hexadecimal
// digits, comes padding to four bytes, and after the content, too.
const stripped = "07070X"

func readStripped(r io.Reader, h *header, u *unpacker) error {
	files, err := fileList(h)
	if err != nil {
		return err
	}
	head := make([]byte, len(stripped)+8+2)
	for range maxEntries {
		if _, err := io.ReadFull(r, head[:6]); err != nil {
			return err
		}
		if string(head[:6]) != stripped {
			return nil // the trailer, an entry of the long form
		}
		if _, err := io.ReadFull(r, head[6:]); err != nil {
			return err
		}
		i, err := strconv.ParseUint(string(head[6:14]), 16, 32)
		if err != nil || i >= uint64(len(files)) {
			return fmt.Errorf("an entry of file %q, and the header has %d files", head[6:14],
				len(files))
		}
		e := files[i]
		left := &io.LimitedReader{R: r, N: e.size}
		if err := u.add(e, left); err != nil {
			return err
		}
		pad := -e.size & 3
		if _, err := io.CopyN(io.Discard, r, left.N+pad); err != nil {
			return truncated(err)
		}
	}
	return fmt.Errorf("more than %d entries", maxEntries)
}

// fileList returns the files that the header lists.
func fileList(h *header) ([]entry, error) {
	names, dirs, in := h.texts(tagBaseNames), h.texts(tagDirNames), h.numbers(tagDirIndexes, 4)
	modes, links, nodes := h.numbers(tagFileModes, 2), h.texts(tagFileLinks),
		h.numbers(tagFileInodes, 4)
	sizes := h.numbers(tagLongFileSizes, 8)
	if len(sizes) == 0 {
		sizes = h.numbers(tagFileSizes, 4)
	}
	n := len(names)
	if len(in) < n || len(modes) < n || len(links) < n || len(nodes) < n || len(sizes) < n {
		return nil, errors.New("the header's list of files is not whole")
	}
	count, last := map[uint64]int{}, map[uint64]int{}
	for i := range n {
		count[nodes[i]]++
		last[nodes[i]] = i
	}
	all := make([]entry, n)
	for i := range n {
		if in[i] >= uint64(len(dirs)) || sizes[i] > maxBytes {
			return nil, errors.New("the header's list of files is damaged")
		}
		e := entry{
			name: strings.TrimPrefix(dirs[in[i]]+names[i], "/"), link: links[i],
			size: int64(sizes[i]), kind: kindOf(modes[i]),
		}
		if e.kind == symlink {
			e.size = int64(len(e.link)) // its content in the archive
		}
		if e.kind == folder || e.kind == device {
			e.size = 0
		}
		if count[nodes[i]] > 1 && e.kind == regular {
			e.node = int64(nodes[i])
			if last[nodes[i]] != i {
				e.size = 0 // only the last of them has the content
			}
		}
		all[i] = e
	}
	return all, nil
}
