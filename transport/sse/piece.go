package sse

import (
	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/gz"
)

// piece sends the frames of the first n events with one write, as many as
// there is room for.
func (s *stream) piece(epoch string, events []cdc.Event) (n int, err error) {
	p, n := s.part(epoch, events)
	s.out.add(p)
	if n == len(events) || len(p.Data) > pieceBytes/2 {
		return n, s.out.send(p.Data)
	}
	m := memories.Get().(*memory)
	defer memories.Put(m)
	m.frames = append(m.frames[:0], p.Data...)
	for n < len(events) {
		p, more := s.part(epoch, events[n:])
		if len(m.frames)+len(p.Data) > pieceBytes {
			break
		}
		m.frames = append(m.frames, p.Data...)
		s.out.add(p)
		n += more
	}
	return n, s.out.send(m.frames)
}

// part returns the frames of the first n events, n ≥ 1, as a part of the body; it
// has no checksum if the body is not compressed.
func (s *stream) part(epoch string, events []cdc.Event) (p gz.Part, n int) {
	ring := s.h.ring
	if s.request.exact {
		ring = s.h.exact
	}
	if s.out.gzip {
		return ring.part(epoch, events)
	}
	p.Data, n = ring.frames(epoch, events)
	return p, n
}
