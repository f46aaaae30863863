package sse

import (
	"context"
	"runtime"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// lot holds the streams that can be parked. It wakes all of them when the Hub
// has something new, and one whose client has left.
type lot struct {
	hub    *cdc.Hub
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	begun   bool
	closed  bool
	leavers *leavers // nil before the first socket, and where there is none
	streams []*stream
}

func newLot(hub *cdc.Hub) *lot {
	l := &lot{hub: hub}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// enter is called before the stream looks for the first time what there is.
func (l *lot) enter(s *stream) {
	l.mu.Lock()
	if !l.begun && !l.closed {
		l.begun = true
		l.tasks.Go(l.watch)
	}
	s.parked.place = len(l.streams)
	l.streams = append(l.streams, s)
	raw := rawConn(s.parked.conn)
	if raw != nil && l.leavers == nil && !l.closed {
		if l.leavers = newLeavers(); l.leavers != nil {
			l.tasks.Go(l.leavers.run)
		}
	}
	leavers := l.leavers
	l.mu.Unlock()
	if raw == nil || leavers == nil || !leavers.add(s, raw) {
		go s.awaitLeave() // until the connection is closed
	}
}

// leave is called before the connection is closed.
func (l *lot) leave(s *stream) {
	l.mu.Lock()
	last := len(l.streams) - 1
	moved := l.streams[last]
	l.streams[s.parked.place], l.streams[last] = moved, nil
	moved.parked.place = s.parked.place
	l.streams = l.streams[:last]
	leavers := l.leavers
	l.mu.Unlock()
	if leavers != nil {
		leavers.remove(s)
	}
}

// watch wakes the streams at each change of the Hub, its end included.
func (l *lot) watch() {
	var change uint64
	for {
		var err error
		change, err = l.hub.Await(l.ctx, change)
		l.wakeAll()
		if err != nil {
			return
		}
	}
}

// wakeAll begins with the last: where one leaves, the last takes its place and
// is woken twice, never not at all. Who enters meanwhile looks by itself. The
// pauses let the streams that were woken end before others begin, so that few
// goroutines exist at once; one that waits for its client or the log holds
// nobody up.
func (l *lot) wakeAll() {
	var some [64]*stream
	l.mu.Lock()
	end := len(l.streams)
	l.mu.Unlock()
	for end > 0 {
		l.mu.Lock()
		end = min(end, len(l.streams))
		begin := max(0, end-len(some))
		n := copy(some[:], l.streams[begin:end])
		l.mu.Unlock()
		for _, s := range some[:n] {
			s.wake()
		}
		end = begin
		runtime.Gosched()
	}
}

// close ends what the lot has started. The streams are not woken by it any more.
func (l *lot) close() {
	l.mu.Lock()
	l.closed = true
	if l.leavers != nil {
		l.leavers.close()
	}
	l.mu.Unlock()
	l.cancel()
	l.tasks.Wait()
}

// left ends a stream as net/http does when a client leaves.
func (s *stream) left() { s.stop(context.Canceled) }

// awaitLeave reads until the client leaves. What it sends is not for us.
func (s *stream) awaitLeave() {
	ignored := make([]byte, 16)
	for {
		if _, err := s.parked.conn.Read(ignored); err != nil {
			s.left()
			return
		}
	}
}
