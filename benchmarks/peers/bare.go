package peers

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EventBytes is the size of the data of every event.
const EventBytes = 200

// What the data of an event begins with.
const (
	Marker  = `{"seq":"` // one that is counted
	Opening = `{"not":"` // one that only shows that a client gets events
)

var padding = strings.Repeat("x", EventBytes)

// Data is JSON, because centrifuge requires it: a number and the time when the
// event should have been published.
func Data(start string, n int, at time.Time) []byte {
	text := fmt.Appendf(nil, `%s%08d","at":"%019d","pad":"`, start, n, at.UnixNano())
	return append(append(text, padding[:EventBytes-len(text)-2]...), `"}`...)
}

// bare keeps all frames in one piece of memory; a client is a position in it.
// It writes what there is, up to 64 KB, and flushes, or does so for each frame.
type bare struct {
	each bool

	mu      sync.Mutex
	text    []byte // only ever appended to
	frames  int
	grown   chan struct{}
	waiting bool // somebody waits for grown
}

func openBare(keep int, each bool) *Server {
	b := &bare{each: each, text: make([]byte, 0, keep*frameBytes), grown: make(chan struct{})}
	return &Server{Handler: b, Publish: b.publish, Close: func() {}}
}

// frameBytes is the size of a frame of bare.
const frameBytes = len("id: 00000000\ndata: \n\n") + EventBytes

func (b *bare) publish(data ...[]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range data {
		b.text = fmt.Appendf(b.text, "id: %08d\ndata: %s\n\n", b.frames, d)
		b.frames++
	}
	if b.waiting {
		close(b.grown)
		b.grown, b.waiting = make(chan struct{}), false
	}
	return nil
}

// after returns what comes after the position, or what to wait for.
func (b *bare) after(pos int) ([]byte, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pos < len(b.text) {
		return b.text[pos:], nil
	}
	b.waiting = true
	return nil, b.grown
}

func (b *bare) start(r *http.Request) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		return (n + 1) * frameBytes
	}
	return len(b.text)
}

func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	most := 64 << 10
	if b.each {
		most = frameBytes
	}
	for pos := b.start(r); ; {
		text, grown := b.after(pos)
		if grown != nil {
			select {
			case <-grown:
				continue
			case <-r.Context().Done():
				return
			}
		}
		n, err := w.Write(text[:min(len(text), most)])
		if err != nil || control.Flush() != nil {
			return
		}
		pos += n
	}
}
