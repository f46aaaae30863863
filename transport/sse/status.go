package sse

import (
	"cmp"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// StreamStatus is one open stream at one moment.
type StreamStatus struct {
	Remote   string // address of the client or of the proxy before it
	Filter   cdc.Filter
	Opened   time.Time
	State    cdc.State
	Position uint64 // seq up to which everything was sent or did not match
	Events   uint64 // sent
	Bytes    uint64 // sent in frames of events
}

// Streams returns the open streams, the oldest first.
func (h *Handler) Streams() []StreamStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]StreamStatus, 0, len(h.streams))
	for s := range h.streams {
		one := StreamStatus{
			Remote: s.remote, Filter: s.filter, Opened: s.opened,
			Position: s.status.position.Load(), Events: s.status.events.Load(), Bytes: s.status.bytes.Load(),
		}
		if s.status.live.Load() {
			one.State = cdc.Live
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b StreamStatus) int { return cmp.Compare(a.Opened.UnixNano(), b.Opened.UnixNano()) })
	return all
}
