// Package gz makes gzip bodies (RFC 1952) of parts that many bodies share. A
// body is
//
//	Header  part or stored text …  end of its Sum
//
// Each part refers to nothing before it and ends at a byte boundary, after an
// empty block: so it can follow on any other, and a receiver hands out all of it
// when it has it.
package gz

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"math"
	"sync"
)

// Header begins a body: deflate, no name, no time, an unknown system.
const Header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

const (
	// boundary is an empty stored block. Go's reader hands out what it has at
	// one, and not at the end of other blocks.
	boundary = "\x00\x00\x00\xff\xff"

	// final is an empty stored block that is the last of a body.
	final = "\x01\x00\x00\xff\xff"
)

// Part is text in the form that a body has.
type Part struct {
	Data  []byte // to be written; it must not be changed
	sum   Sum    // of the text
	shift uint32 // x^(8 × size), modulo the polynomial of the checksum
}

// compressor compresses one text after the other.
type compressor struct {
	flate *flate.Writer
	out   bytes.Buffer
}

// The fastest level takes half the time of the others, and the text is as a
// rule small: at 16 KB of frames they make it a tenth smaller, alone hardly.
var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	c.flate, _ = flate.NewWriter(&c.out, flate.BestSpeed) // the level is valid
	return c
}}

// Compress makes a part of the text, which is not kept. It is stored as it is
// where it does not become smaller.
func Compress(text []byte) Part {
	var p Part
	p.sum.AddText(text)
	p.shift = shift(p.sum.size)
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.flate.Reset(&c.out) // nothing in the part refers to the one before
	_, _ = c.flate.Write(text)
	_ = c.flate.Flush() // with a boundary; neither fails in memory
	if c.out.Len() < storedBytes(len(text)) {
		p.Data = bytes.Clone(c.out.Bytes())
	} else {
		p.Data = AppendStored(make([]byte, 0, storedBytes(len(text))), text)
	}
	return p
}

// storedBytes is how many bytes AppendStored appends for a text of n.
func storedBytes(n int) int {
	blocks := (n + math.MaxUint16 - 1) / math.MaxUint16
	return n + (blocks+1)*len(boundary)
}

// AppendStored appends the text as it is in a body that is not compressed.
func AppendStored(dst, text []byte) []byte {
	for len(text) > 0 {
		n := min(len(text), math.MaxUint16)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, text[:n]...)
		text = text[n:]
	}
	return append(dst, boundary...)
}

// Sum is the checksum and the size of the text of a body so far. The zero value
// is that of a body without text.
type Sum struct{ crc, size uint32 }

// Size is the number of bytes of text, modulo 2^32.
func (s Sum) Size() uint32 { return s.size }

// AddText adds text that was appended by AppendStored.
func (s *Sum) AddText(text []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, text)
	s.size += uint32(len(text)) //nolint:gosec // modulo 2^32
}

// Add adds a part, in a time that does not depend on its size.
func (s *Sum) Add(p Part) {
	s.crc = times(p.shift, s.crc) ^ p.sum.crc
	s.size += p.sum.size
}

// AppendEnd appends the end of a body. A body that is cut has none, so that
// its receiver notices.
func (s Sum) AppendEnd(dst []byte) []byte {
	dst = append(dst, final...)
	dst = binary.LittleEndian.AppendUint32(dst, s.crc)
	return binary.LittleEndian.AppendUint32(dst, s.size)
}

// In a polynomial the highest bit is x^0, as in a reversed CRC.
const (
	one      = 1 << 31
	eighth   = 1 << (31 - 8) // x^8: what a byte shifts
	lastTerm = 1             // x^31
)

// times multiplies two polynomials modulo that of the checksum.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&one != 0 {
			product ^= b
		}
		if carry := b & lastTerm; carry != 0 {
			b = b>>1 ^ crc32.IEEE
		} else {
			b >>= 1
		}
	}
	return product
}

// shift returns x^(8n): what n bytes behind a text multiply its checksum with.
func shift(n uint32) uint32 {
	result, power := uint32(one), uint32(eighth)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = times(result, power)
		}
		power = times(power, power)
	}
	return result
}
