package sse

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/gz"
)

// cellBytes divides a block into cells: frames that begin in the same one are
// compressed together for whoever needs all of them. Larger ones gain little.
const cellBytes = 16 << 10

// chunk is some frames of a block as a part of gzip bodies, for all streams: the
// first that needs it compresses it, and the others wait for that.
type chunk struct {
	first, end int    // indexes of its frames in the block: first ≤ i < end
	text       []byte // the frames
	compress   sync.Once
	part       gz.Part // set by compress
}

// part returns the frames of the first n events, n ≥ 1, as frames does, but as a
// part of gzip bodies.
func (r *ring) part(epoch string, events []cdc.Event) (p gz.Part, n int) {
	text, n := r.frames(epoch, events)
	b, c := r.chunk(epoch, events[:n])
	if c == nil { // the ring has just let go of the block
		return gz.Compress(text), n
	}
	c.compress.Do(func() {
		c.part = gz.Compress(c.text)
		r.keep(b, len(c.part.Data))
	})
	return c.part, c.end - c.first
}

// chunk returns a chunk that begins with the first of the events and ends with
// one of them. It is nil if the ring does not have the frames.
func (r *ring) chunk(epoch string, events []cdc.Event) (*block, *chunk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, first := r.locate(epoch, &events[0])
	if b == nil {
		return nil, nil
	}
	_, n := b.run(first, events)
	return b, b.chunk(first, first+n)
}

// chunk returns a chunk of the frames from first on, as far as end at most. It
// prefers chunks that others need too: a cell, then the longest that is here,
// then one up to where the next begins.
func (b *block) chunk(first, end int) *chunk {
	end, cell := b.withinCell(first, end)
	after, _ := slices.BinarySearchFunc(b.chunks, first+1, func(c *chunk, first int) int { return cmp.Compare(c.first, first) })
	at := after // where a new one belongs
	for i := after - 1; i >= 0 && b.chunks[i].first == first; i-- {
		if c := b.chunks[i]; c.end == end || c.end < end && !cell {
			return c
		}
		if b.chunks[i].end > end {
			at = i
		}
	}
	if !cell && after < len(b.chunks) {
		end = min(end, b.chunks[after].first)
	}
	c := &chunk{first: first, end: end, text: b.buf[b.start(first):b.frames[end-1].end]}
	b.chunks = slices.Insert(b.chunks, at, c)
	return c
}

// withinCell returns the end of the frames that begin in the cell of the first,
// as far as end at most, and whether these are all of the cell.
func (b *block) withinCell(first, end int) (_ int, all bool) {
	limit := (b.start(first)/cellBytes + 1) * cellBytes
	for i := first; i < end; i++ {
		if b.frames[i].end >= limit {
			return i + 1, b.start(first)%cellBytes == 0 || first > 0 && b.start(first-1) < limit-cellBytes
		}
	}
	return end, false
}

// keep counts the bytes of a chunk. What a block's chunks have may be as much as
// its frames: if it is more, they are compressed anew for whoever comes.
func (r *ring) keep(b *block, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.blocks, b) {
		return
	}
	b.chunkBytes += n
	r.bytes += n
	if b.chunkBytes > cap(b.buf) {
		r.bytes -= b.chunkBytes
		b.chunks, b.chunkBytes = nil, 0
	}
	r.shrink()
}
