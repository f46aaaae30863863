package peers

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

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
	return &Server{Handler: b, History: "?from=0", Publish: b.publish, Close: func() {}}
}

// frameBytes is the size of a frame of bare.
const frameBytes = len("id: 00000000\ndata: \n\n") + control.EventBytes

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
	if n, err := strconv.Atoi(r.FormValue("from")); err == nil {
		return n * frameBytes
	}
	return len(b.text)
}

func (b *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	most := (64 << 10) / frameBytes * frameBytes // so that no chunk of the response ends within a frame
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
