package registry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// linesPerPart is the number of lines in a part of a file, which has its own CRC-32 in the header.
// Files with at most that many lines have no parts.
const linesPerPart = 1024

// part is a number of consecutive lines.
type part struct {
	end   int    // offset from the first line
	crc   uint32 // CRC-32 (IEEE 802.3)
	count int    // of lines
	text  []byte // the lines once they were read and checked
}

const partsKey = "#parts\t"

// partForm is the form of a part in the parts line: its CRC-32 and its size in bytes.
const partForm = " %08x:%08x"

// partsLine returns the header line of the parts: lines per part, then every part.
func partsLine(parts []part) []byte {
	line := fmt.Appendf(nil, "%s%d", partsKey, linesPerPart)
	begin := 0
	for _, p := range parts {
		line = fmt.Appendf(line, partForm, p.crc, p.end-begin)
		begin = p.end
	}
	return append(line, '\n')
}

// parseParts reads the value of the parts line. Their counts are not in it.
func parseParts(value string) (each int, parts []part, err error) {
	words := strings.Fields(value)
	if len(words) == 0 {
		return 0, nil, errors.New("no parts")
	}
	if each, err = strconv.Atoi(words[0]); err != nil || each <= 0 {
		return 0, nil, errors.New("no number of lines")
	}
	end := 0
	for _, word := range words[1:] {
		crc, size, _ := strings.Cut(word, ":")
		c, err := strconv.ParseUint(crc, 16, 32)
		n, sizeErr := strconv.ParseUint(size, 16, 32)
		if err := cmp.Or(err, sizeErr); err != nil {
			return 0, nil, err
		}
		if n > uint64(maxFile-end) {
			return 0, nil, errors.New("parts that are too large")
		}
		end += int(n)
		parts = append(parts, part{end: end, crc: uint32(c)})
	}
	return each, parts, nil
}

// setParts checks that the parts make up all lines.
func (f *File) setParts(each int, parts []part) error {
	left, end := f.Symbols, 0
	for i := range parts {
		parts[i].count = min(each, left)
		left -= parts[i].count
		end = parts[i].end
	}
	if left != 0 || end != f.size {
		return errors.New("the parts in the header are not all lines: the file was edited")
	}
	f.parts = parts
	return nil
}

// lineParts computes the parts of lines that come piece by piece.
type lineParts struct {
	parts []part
	last  part // not full yet; end is that of the lines so far
}

func (l *lineParts) add(lines []byte) {
	for len(lines) > 0 {
		n := 0
		for n < len(lines) && l.last.count < linesPerPart {
			line := bytes.IndexByte(lines[n:], '\n') + 1
			if line == 0 {
				line = len(lines) - n
			}
			n += line
			l.last.count++
		}
		l.last.crc = crc32.Update(l.last.crc, crc32.IEEETable, lines[:n])
		l.last.end += n
		lines = lines[n:]
		if l.last.count == linesPerPart {
			l.parts = append(l.parts, l.last)
			l.last = part{end: l.last.end}
		}
	}
}

// all returns the parts of what was added.
func (l *lineParts) all() []part {
	if l.last.count == 0 {
		return l.parts
	}
	return append(l.parts[:len(l.parts):len(l.parts)], l.last)
}

// joinCRC returns the CRC-32 of a text and the parts that follow it.
func joinCRC(crc uint32, parts []part) uint32 {
	begin := 0
	for i := range parts {
		crc = shiftCRC(crc, parts[i].end-begin) ^ parts[i].crc
		begin = parts[i].end
	}
	return crc
}

// shiftCRC returns what a CRC-32 adds to that of a text in which n bytes follow: the CRC is a
// polynomial over GF(2), and each bit that follows multiplies it by x. (The inversions of the CRC
// at both ends of the text cancel out, so crc(ab) is shiftCRC(crc(a), len(b)) ^ crc(b).)
func shiftCRC(crc uint32, n int) uint32 {
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			crc = multiply(bytePowers[i], crc)
		}
	}
	return crc
}

// bytePowers[i] is x to the power of 8 * 2^i. Bit 31 is the coefficient of 1, as in a CRC-32.
var bytePowers = func() (powers [32]uint32) {
	powers[0] = 1 << (31 - 8)
	for i := 1; i < len(powers); i++ {
		powers[i] = multiply(powers[i-1], powers[i-1])
	}
	return powers
}()

// multiply returns the product of two polynomials, modulo that of the CRC-32.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// partAt returns the index of the part that has the byte at an offset of the lines.
func (f *File) partAt(offset int) int {
	return sort.Search(len(f.parts), func(i int) bool { return f.parts[i].end > offset })
}

// begin returns the offset of a part from the first line.
func (f *File) begin(i int) int {
	if i == 0 {
		return 0
	}
	return f.parts[i-1].end
}

// need makes sure that a part was read. It returns false after an error, which Err returns.
func (f *File) need(i int) bool {
	if f.err == nil && f.parts[i].text == nil {
		size := f.parts[i].end - f.begin(i)
		if f.passing {
			f.passed = slices.Grow(f.passed[:0], size)[:size]
			f.err = f.readPart(i, f.passed)
		} else {
			f.err = f.readPart(i, make([]byte, size))
		}
	}
	return f.err == nil
}

// readPart reads a part into text, which has its size.
func (f *File) readPart(i int, text []byte) error {
	at := f.linesAt + int64(f.begin(i))
	n, err := f.file.ReadAt(text, at)
	if err == io.EOF {
		return wrongSize(at+int64(n), f.linesAt+int64(f.size))
	}
	if err != nil {
		return err
	}
	return f.parts[i].check(text)
}

// check checks the lines of a part, and keeps them.
func (p *part) check(text []byte) error {
	if crc := crc32.ChecksumIEEE(text); crc != p.crc {
		return wrongCRC(crc, p.crc)
	}
	rows, err := checkColumns(text)
	if err := cmp.Or(checkText(text), err); err != nil {
		return err
	}
	if rows != p.count || !bytes.HasSuffix(text, []byte{'\n'}) {
		return fmt.Errorf("a part has not %d lines: the file was edited", p.count)
	}
	p.text = text
	return nil
}

// load makes sure that all lines are in memory, in f.lines. It returns false after an error.
func (f *File) load() bool {
	if f.err != nil || f.file == nil {
		return f.err == nil
	}
	if f.lines, f.err = f.allocate(f.size); f.err != nil {
		return false
	}
	// Two cores that fill the same large page would both clear it.
	const each = 32 // parts, some 3 MB
	errs := make([]error, (len(f.parts)+each-1)/each)
	f.spread(len(errs), func(i int) {
		for p := i * each; p < min((i+1)*each, len(f.parts)) && errs[i] == nil; p++ {
			errs[i] = f.readPart(p, f.lines[f.begin(p):f.parts[p].end])
		}
	})
	f.err = cmp.Or(errs...)
	f.closeFile()
	return f.err == nil
}

// spread calls f for 0 to n-1, in parallel if it may.
func (f *File) spread(n int, do func(i int)) {
	if f.Parallel != nil {
		f.Parallel(n, do)
		return
	}
	for i := range n {
		do(i)
	}
}
