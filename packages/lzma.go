package packages

import (
	"encoding/binary"
	"errors"
)

// lzma decodes a whole block of an .xz file from memory into memory, which is what blocks that are
// decoded in parallel need. The decoder that reads streams keeps a window and copies everything
// twice. The format is that of "LZMA specification" (LZMA SDK) and, for LZMA2, "The .xz File
// Format" 1.1.0, section 5.3.1.
type lzma struct {
	coder rangeDecoder
	out   []byte
	pos   int // in out
	start int // of the dictionary in out

	lc, lpMask, pbMask uint32
	state              uint32
	rep                [4]uint32 // the last distances, minus one

	match    [states << 4]prob
	isRep    [states]prob
	repIs0   [states]prob
	repIs1   [states]prob
	repIs2   [states]prob
	rep0Long [states << 4]prob
	slot     [4][64]prob
	special  [115]prob
	align    [16]prob
	length   lengthDecoder
	repLen   lengthDecoder
	literals [16][literalTable]prob
}

// Sizes of tables are powers of two, so that an index needs no check of its range: there are 12
// states, and 0x300 contexts of literals for each of the 16 tables.
const (
	states       = 16
	literalTable = 0x400
)

// prob is the probability that the next bit of a context is 0, of 2048.
type prob = uint16

const (
	probBits = 11
	even     = 1 << probBits / 2
	moveBits = 5
	half     = 0xfffff81f // 31 - 2048
	least    = 1 << 24    // below it the range takes another byte
)

var errLZMA = errors.New("the compressed data is damaged")

// rangeDecoder reads bits. An input that ends too early is followed by zeros; over says so.
type rangeDecoder struct {
	in        []byte
	pos       int
	rng, code uint32
}

// init begins with five bytes, the first of which is zero.
func (d *rangeDecoder) init(in []byte) bool {
	d.in, d.pos, d.rng = in, 5, 0xffffffff
	if len(in) < 5 || in[0] != 0 {
		return false
	}
	d.code = binary.BigEndian.Uint32(in[1:])
	return true
}

// ends reports whether the input was read exactly to its end.
func (d *rangeDecoder) ends() bool {
	if d.rng < least {
		d.code = d.code<<8 | uint32(d.next())
		d.rng <<= 8
	}
	return d.code == 0 && d.pos == len(d.in)
}

func (d *rangeDecoder) next() byte {
	i := d.pos
	d.pos++
	if i < len(d.in) {
		return d.in[i]
	}
	return 0
}

// bit decodes a bit.
func (d *rangeDecoder) bit(p *prob) uint32 {
	if d.rng < least {
		d.rng <<= 8
		d.code = d.code<<8 | uint32(d.next())
	}
	v := uint32(*p)
	bound := d.rng >> probBits * v
	if d.code < bound {
		d.rng = bound
		*p = prob(v + (1<<probBits-v)>>moveBits)
		return 0
	}
	d.rng -= bound
	d.code -= bound
	*p = prob(v - v>>moveBits)
	return 1
}

// step decodes a bit without a branch: within a tree of bits no branch can be predicted. It returns
// the new range, code and probability, and the bit.
func step(rng, code, v uint32) (r, c, p, bit uint32) {
	bound := rng >> probBits * v
	zero := uint32((int64(code) - int64(bound)) >> 63) // all ones for a 0
	r = rng - bound
	r += (bound - r) & zero
	c = code - bound&^zero
	p = v - uint32(int32(v+(zero&half))>>moveBits)
	return r, c, p, zero + 1
}

// tree decodes a number from a tree of 2^bits contexts, the highest bit first.
func (d *rangeDecoder) tree(p []prob, bits int) uint32 {
	rng, code, sym := d.rng, d.code, uint32(1)
	p = p[: 1<<bits : 1<<bits]
	for range bits {
		if rng < least {
			rng <<= 8
			code = code<<8 | uint32(d.next())
		}
		var v, bit uint32
		rng, code, v, bit = step(rng, code, uint32(p[sym]))
		p[sym] = prob(v)
		sym = sym<<1 | bit
	}
	d.rng, d.code = rng, code
	return sym - 1<<bits
}

// reverse is tree with the lowest bit first.
func (d *rangeDecoder) reverse(p []prob, bits int) (n uint32) {
	sym := uint32(1)
	for i := range bits {
		bit := d.bit(&p[sym])
		sym = sym<<1 | bit
		n |= bit << i
	}
	return n
}

// direct decodes bits of equal probability.
func (d *rangeDecoder) direct(bits int) (n uint32) {
	for range bits {
		if d.rng < least {
			d.rng <<= 8
			d.code = d.code<<8 | uint32(d.next())
		}
		d.rng >>= 1
		d.code -= d.rng
		one := 1 + uint32(int32(d.code)>>31)
		d.code += d.rng & (one - 1)
		n = n<<1 | one
	}
	return n
}

// lengthDecoder decodes the length of a match.
type lengthDecoder struct {
	choice, choice2 prob
	low, mid        [16][8]prob
	high            [256]prob
}

func (l *lengthDecoder) decode(d *rangeDecoder, posState uint32) int {
	switch {
	case d.bit(&l.choice) == 0:
		return 2 + int(d.tree(l.low[posState&15][:], 3))
	case d.bit(&l.choice2) == 0:
		return 10 + int(d.tree(l.mid[posState&15][:], 3))
	}
	return 18 + int(d.tree(l.high[:], 8))
}

// reset sets every probability to one half.
func (z *lzma) reset() {
	z.state, z.rep = 0, [4]uint32{}
	set := func(p []prob) {
		for i := range p {
			p[i] = even
		}
	}
	for _, p := range [][]prob{z.match[:], z.isRep[:], z.repIs0[:], z.repIs1[:], z.repIs2[:],
		z.rep0Long[:], z.special[:], z.align[:]} {
		set(p)
	}
	for i := range z.literals {
		set(z.literals[i][:])
	}
	for i := range z.slot {
		set(z.slot[i][:])
	}
	for _, l := range []*lengthDecoder{&z.length, &z.repLen} {
		l.choice, l.choice2 = even, even
		set(l.high[:])
		for i := range l.low {
			set(l.low[i][:])
			set(l.mid[i][:])
		}
	}
}

// properties sets lc, lp and pb from their byte.
func (z *lzma) properties(b byte) bool {
	lc, lp, pb := b%9, b/9%5, b/45
	if pb > 4 || lc+lp > 4 {
		return false
	}
	z.lc, z.lpMask, z.pbMask = uint32(lc), 1<<lp-1, 1<<pb-1
	return true
}

// decode decodes LZMA2 data to exactly len(out) bytes. A chunk begins with a control byte: 0 ends
// the data, 1 and 2 are followed by bytes as they are, and from 0x80 on by compressed ones.
func (z *lzma) decode(in, out []byte) error {
	z.out, z.pos, z.start = out, 0, 0
	needs := byte(3) // what the next chunk must reset: dictionary, properties, state
	for {
		if len(in) == 0 {
			return errLZMA
		}
		control := in[0]
		switch {
		case control == 0:
			if z.pos != len(out) || len(in) > 1 {
				return errLZMA
			}
			return nil
		case control > 2 && control < 0x80 || len(in) < 3 || control >= 0x80 && len(in) < 6:
			return errLZMA
		case control == 1 || control >= 0xe0:
			z.start = z.pos
		case needs == 3:
			return errLZMA // no dictionary yet
		}
		size := int(binary.BigEndian.Uint16(in[1:])) + 1
		var err error
		if control < 0x80 {
			if len(in) < 3+size || size > len(out)-z.pos {
				return errLZMA
			}
			z.pos += copy(out[z.pos:], in[3:3+size])
			in = in[3+size:]
			if control == 1 {
				needs = 2
			}
			continue
		}
		size += int(control&0x1f) << 16
		if in, err = z.compressed(in, control, size, &needs); err != nil {
			return err
		}
	}
}

// compressed decodes a compressed chunk to size bytes and returns what follows it.
func (z *lzma) compressed(in []byte, control byte, size int, needs *byte) ([]byte, error) {
	packed := int(binary.BigEndian.Uint16(in[3:])) + 1
	in = in[5:]
	resets := control >> 5 & 3 // 1: the state, 2: the properties, too, 3: all
	if resets < *needs {
		return nil, errLZMA
	}
	*needs = 0
	if resets >= 2 {
		if !z.properties(in[0]) {
			return nil, errLZMA
		}
		in = in[1:]
	}
	if resets > 0 {
		z.reset()
	}
	if packed > len(in) || size > len(z.out)-z.pos || !z.coder.init(in[:packed]) {
		return nil, errLZMA
	}
	if !z.chunk(z.pos+size) || !z.coder.ends() {
		return nil, errLZMA
	}
	return in[packed:], nil
}

// chunk decodes to a position in out.
func (z *lzma) chunk(end int) bool {
	d := &z.coder
	for z.pos < end {
		posState := uint32(z.pos-z.start) & z.pbMask
		at := (z.state<<4 | posState&15) % (states << 4)
		if d.bit(&z.match[at]) == 0 {
			if !z.literal() {
				return false
			}
			continue
		}
		var length int
		if d.bit(&z.isRep[z.state%states]) == 0 {
			length = z.length.decode(d, posState)
			z.rep = [4]uint32{z.distance(length), z.rep[0], z.rep[1], z.rep[2]}
			z.state = after(z.state, 7, 10)
		} else {
			length = z.repeated(at, posState)
		}
		if !z.copy(length, end) {
			return false
		}
	}
	return d.pos <= len(d.in)
}

func after(state, literal, match uint32) uint32 {
	if state < 7 {
		return literal
	}
	return match
}

// literal decodes a byte. After a match, the byte that would have continued it chooses the
// contexts.
func (z *lzma) literal() bool {
	before := uint32(0)
	if z.pos > z.start {
		before = uint32(z.out[z.pos-1])
	}
	context := (uint32(z.pos-z.start)&z.lpMask)<<z.lc + before>>(8-z.lc)
	p := &z.literals[context%16]
	if z.state < 7 {
		z.out[z.pos] = z.coder.literal(p)
	} else {
		z.out[z.pos] = z.coder.matched(p, uint32(z.out[z.pos-1-int(z.rep[0])]))
	}
	z.pos++
	switch {
	case z.state < 4:
		z.state = 0
	case z.state < 10:
		z.state -= 3
	default:
		z.state -= 6
	}
	return true
}

// literal decodes a byte after another literal.
func (d *rangeDecoder) literal(p *[literalTable]prob) byte {
	rng, code, sym := d.rng, d.code, uint32(1)
	for sym < 0x100 {
		if rng < least {
			rng <<= 8
			code = code<<8 | uint32(d.next())
		}
		var v, bit uint32
		rng, code, v, bit = step(rng, code, uint32(p[sym%literalTable]))
		p[sym%literalTable] = prob(v)
		sym = sym<<1 | bit
	}
	d.rng, d.code = rng, code
	return byte(sym)
}

// matched decodes a byte after a match.
func (d *rangeDecoder) matched(p *[literalTable]prob, match uint32) byte {
	rng, code := d.rng, d.code
	offset, sym := uint32(0x100), uint32(1)
	for sym < 0x100 {
		if rng < least {
			rng <<= 8
			code = code<<8 | uint32(d.next())
		}
		match <<= 1
		want := match & offset
		at := (offset + want + sym) % literalTable
		var v, bit uint32
		rng, code, v, bit = step(rng, code, uint32(p[at]))
		p[at] = prob(v)
		sym = sym<<1 | bit
		offset &= ^(want ^ -bit) // stays as long as the bits are those of match
	}
	d.rng, d.code = rng, code
	return byte(sym)
}

// distance decodes the distance of a match of this length, minus one.
func (z *lzma) distance(length int) uint32 {
	d := &z.coder
	slot := d.tree(z.slot[min(length-2, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := int(slot>>1) - 1
	distance := (2 | slot&1) << bits
	if slot < 14 {
		return distance + d.reverse(z.special[distance-slot:], bits)
	}
	distance += d.direct(bits-4) << 4
	return distance + d.reverse(z.align[:], 4)
}

// repeated decodes which of the last distances is used again, and returns the length.
func (z *lzma) repeated(at, posState uint32) int {
	d, state := &z.coder, z.state%states
	if d.bit(&z.repIs0[state]) == 0 {
		if d.bit(&z.rep0Long[at]) == 0 {
			z.state = after(z.state, 9, 11)
			return 1
		}
	} else if d.bit(&z.repIs1[state]) == 0 {
		z.rep = [4]uint32{z.rep[1], z.rep[0], z.rep[2], z.rep[3]}
	} else if d.bit(&z.repIs2[state]) == 0 {
		z.rep = [4]uint32{z.rep[2], z.rep[0], z.rep[1], z.rep[3]}
	} else {
		z.rep = [4]uint32{z.rep[3], z.rep[0], z.rep[1], z.rep[2]}
	}
	z.state = after(z.state, 8, 11)
	return z.repLen.decode(d, posState)
}

// copy repeats bytes of the output. A distance shorter than the length repeats what is copied.
func (z *lzma) copy(length, end int) bool {
	from := z.pos - int(z.rep[0]) - 1
	if from < z.start || length > end-z.pos {
		return false
	}
	to := z.out[z.pos : z.pos+length]
	if from+length <= z.pos {
		copy(to, z.out[from:])
	} else {
		for i := range to {
			to[i] = z.out[from+i]
		}
	}
	z.pos += length
	return true
}
