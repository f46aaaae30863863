package sse

import (
	"bytes"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

const (
	// pieceBytes is the most that is written to a client at once.
	pieceBytes = 64 << 10

	// maxBlocks bounds the search for a frame.
	maxBlocks = 128

	// sharedBlockBytes is up to how many bytes are added to the newest block
	// instead of getting a block of their own.
	sharedBlockBytes = pieceBytes / 4
)

// ring holds frames that were encoded lately, for all streams: an event is
// encoded by the first stream that needs it, and the others wait for that.
// Frames of neighbouring events are contiguous, so that a stream writes many
// at once without copying. A stream that reads history has its frames here
// too, for others at the same place.
type ring struct {
	framer   framer
	maxBytes int

	mu     sync.Mutex
	blocks []*block // oldest first; the last one may still grow
	bytes  int      // capacity of all blocks, and what their chunks have
	claims []*claim
}

// block is contiguous frames in the order of the log. It only grows, within
// its capacity, so a stream can write a part of it while it does.
type block struct {
	epoch       string
	first, last uint64 // seqs
	buf         []byte
	frames      []ringFrame

	chunks     []*chunk // in the order of their frames, the shorter one first
	chunkBytes int      // of those that were compressed
}

type ringFrame struct {
	event *cdc.Event // what was encoded
	end   int        // of the frame in the block
}

// claim is a range of seqs that some stream is encoding.
type claim struct {
	epoch       string
	first, last uint64
	done        chan struct{}
}

// frames returns the frames of the first n events, n ≥ 1, as one slice of at
// most pieceBytes, or of one larger frame. It must not be changed.
func (r *ring) frames(epoch string, events []cdc.Event) (buf []byte, n int) {
	for {
		r.mu.Lock()
		if buf, n := r.find(epoch, events); n > 0 {
			r.mu.Unlock()
			return buf, n
		}
		if c := r.claimed(epoch, events[0].Seq); c != nil {
			r.mu.Unlock()
			<-c.done
			continue
		}
		c, n := r.claim(epoch, events)
		r.mu.Unlock()
		return r.encode(c, events[:n])
	}
}

// find looks for the frames; r.mu is held.
func (r *ring) find(epoch string, events []cdc.Event) (buf []byte, n int) {
	if b, at := r.locate(epoch, &events[0]); b != nil {
		return b.run(at, events)
	}
	return nil, 0
}

// locate returns where the frame of the event is, or nil; r.mu is held.
func (r *ring) locate(epoch string, e *cdc.Event) (b *block, at int) {
	for i := len(r.blocks) - 1; i >= 0; i-- {
		b := r.blocks[i]
		if e.Seq < b.first || e.Seq > b.last || b.epoch != epoch {
			continue
		}
		if at := b.search(e.Seq); same(b.frames[at].event, e) {
			return b, at
		}
	}
	return nil, 0
}

// start is where a frame begins in the block.
func (b *block) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.frames[i-1].end
}

// search returns the index of the first frame whose event is not below seq.
func (b *block) search(seq uint64) int {
	return sort.Search(len(b.frames), func(i int) bool { return b.frames[i].event.Seq >= seq })
}

// run returns the frames from at on as far as they are those of the events.
func (b *block) run(at int, events []cdc.Event) (buf []byte, n int) {
	start, end := b.start(at), b.frames[at].end
	for n = 1; n < len(events) && at+n < len(b.frames); n++ {
		f := &b.frames[at+n]
		if f.end-start > pieceBytes || !same(f.event, &events[n]) {
			break
		}
		end = f.end
	}
	return b.buf[start:end:end], n
}

// same reports whether two events have the same frame. As a rule they are one
// event in memory; a filter copies the struct but not what it points to, and
// comparing what is in one place takes no time either.
func same(a, b *cdc.Event) bool {
	return a == b || a.Seq == b.Seq && a.Time.Equal(b.Time) &&
		a.Type == b.Type && a.Key == b.Key && a.Topic == b.Topic && a.ID == b.ID &&
		bytes.Equal(a.Data, b.Data) && maps.Equal(a.Meta, b.Meta)
}

// claimed returns the claim that covers seq; r.mu is held.
func (r *ring) claimed(epoch string, seq uint64) *claim {
	for _, c := range r.claims {
		if c.epoch == epoch && c.first <= seq && seq <= c.last {
			return c
		}
	}
	return nil
}

// claim registers that the caller will encode the first n events: about a
// piece of them, and none that are here or claimed already; r.mu is held.
func (r *ring) claim(epoch string, events []cdc.Event) (c *claim, n int) {
	first := events[0].Seq
	limit := ^uint64(0)
	for _, o := range r.claims {
		if o.epoch == epoch && o.first > first {
			limit = min(limit, o.first)
		}
	}
	for _, b := range r.blocks {
		if b.epoch == epoch && b.first > first {
			limit = min(limit, b.first)
		}
	}
	size := 0
	for n < len(events) && (n == 0 || events[n].Seq < limit && size < pieceBytes) {
		size += events[n].Size() + 200 // what a frame has besides
		n++
	}
	c = &claim{epoch: epoch, first: first, last: events[n-1].Seq, done: make(chan struct{})}
	r.claims = append(r.claims, c)
	return c, n
}

// encode makes the frames without holding the lock, because the encoder is
// foreign code, then files them and gives up the claim.
func (r *ring) encode(c *claim, events []cdc.Event) (buf []byte, n int) {
	defer r.release(c)
	m := memories.Get().(*memory)
	defer memories.Put(m)
	m.frames = m.frames[:0]
	ends := make([]ringFrame, 0, len(events))
	for i := range events {
		m.frames, m.data = r.framer.appendFrame(m.frames, m.data, c.epoch, events[i])
		if i > 0 && len(m.frames) > pieceBytes {
			break // the rest was claimed in vain, for a moment
		}
		ends = append(ends, ringFrame{event: &events[i], end: len(m.frames)})
	}
	n = len(ends)
	return r.file(c.epoch, m.frames[:ends[n-1].end], ends), n
}

func (r *ring) release(c *claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.claims = slices.DeleteFunc(r.claims, func(o *claim) bool { return o == c })
	close(c.done)
}

// file copies frames to a block and returns the copy.
func (r *ring) file(epoch string, frames []byte, ends []ringFrame) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.room(epoch, len(frames), ends[0].event.Seq)
	start := len(b.buf)
	b.buf = append(b.buf, frames...)
	for _, f := range ends {
		b.frames = append(b.frames, ringFrame{event: f.event, end: start + f.end})
	}
	b.last = ends[len(ends)-1].event.Seq
	r.shrink()
	return b.buf[start:len(b.buf):len(b.buf)]
}

// shrink lets go of the oldest blocks as far as they are too many; r.mu is held.
func (r *ring) shrink() {
	for len(r.blocks) > 1 && (r.bytes > r.maxBytes || len(r.blocks) > maxBlocks) {
		r.bytes -= cap(r.blocks[0].buf) + r.blocks[0].chunkBytes
		r.blocks[0] = nil
		r.blocks = r.blocks[1:]
	}
}

// room returns a block with room for n bytes of frames from seq on; r.mu is
// held.
func (r *ring) room(epoch string, n int, seq uint64) *block {
	for i := len(r.blocks) - 1; i >= max(0, len(r.blocks)-4); i-- {
		b := r.blocks[i]
		if b.epoch == epoch && b.last < seq && cap(b.buf)-len(b.buf) >= n {
			return b
		}
	}
	size := n
	if n <= sharedBlockBytes {
		size = pieceBytes
	}
	b := &block{epoch: epoch, first: seq, buf: make([]byte, 0, size)}
	r.blocks = append(r.blocks, b)
	r.bytes += size
	return b
}

// memory is what encoding and writing need for a moment.
type memory struct {
	frames []byte
	data   []byte
}

var memories = sync.Pool{New: func() any { return &memory{} }}
