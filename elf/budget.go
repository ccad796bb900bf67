package elf

import "sync/atomic"

// What an object may cost follows from the size of its file. Section headers, compressed sections
// and tables that share their bytes can claim a thousand times more than the file has, and a file
// of a few megabytes must not take all memory or all day.
const (
	// costPerByte is how many bytes of memory each byte of the file may cost. xz makes modules with
	// debugging information ten times smaller. Their relocations, up to half of riscv64's modules,
	// are charged when the object is decompressed and again when they are used.
	costPerByte = 32
	// freeCost is what every object may cost.
	freeCost = 32 << 20
	// maxRead is the most that OpenTables reads of a file into memory. A sparse file has any size.
	maxRead = 1 << 30
)

// budget counts what an object cost so far.
type budget struct {
	size  uint64        // of the file on disk
	spent atomic.Uint64 // bytes
}

// left returns how many bytes the object may still cost.
func (b *budget) left() uint64 {
	limit := costPerByte*b.size + freeCost
	return limit - min(limit, b.spent.Load())
}

// spend takes n bytes for what the object has at an offset. The error is a *FormatError.
func (f *File) spend(n, offset uint64, what string) error {
	left := f.budget.left()
	if n > left {
		return formatErrorf(offset, "%s: %d bytes, of which a file of %d may have %d more",
			what, n, f.budget.size, left)
	}
	f.budget.spent.Add(n)
	return nil
}

// FileSize is the size of the file in bytes, before decompression. What is spent on an object is in
// proportion to it.
func (f *File) FileSize() uint64 { return f.budget.size }
