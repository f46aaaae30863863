package sse

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Drain tells every client to reconnect and ends its stream; whoever comes from
// now on is told the same. The ends are spread over the time window, but at
// most half of the time that ctx has, so that the other servers do not get all
// clients at once; 0 or less ends all at once, and only the jitter of
// Options.Retry spreads them. Drain returns when all streams have ended. When
// ctx ends before, it cuts the clients that do not take what was sent to them,
// and returns the cause.
func (h *Handler) Drain(ctx context.Context, window time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(deadline)/2)
	}
	for _, s := range h.startDraining() {
		if window > 0 {
			s.endAfter(rand.N(window), EndDrain)
		} else {
			s.stop(&endError{EndDrain})
		}
	}
	select {
	case <-h.drained:
		return nil
	case <-ctx.Done():
	}
	for _, s := range h.startDraining() {
		s.stop(&endError{EndDrain})
		s.out.hurry()
	}
	return context.Cause(ctx)
}

// startDraining lets no further stream in and returns those that are open. It
// may be called again.
func (h *Handler) startDraining() []*stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.draining {
		h.draining = true
		if len(h.streams) == 0 {
			close(h.drained)
		}
	}
	return slices.Collect(maps.Keys(h.streams))
}

// closeGrace is how long Close lets clients take what was written to them. With
// the moment that hurry gives it is short of the half second after which
// http.Server.Shutdown looks twice a second only.
const closeGrace = 250 * time.Millisecond

// Close drains, cuts clients that do not read after a third of a second, and
// closes the Hub if it is the Handler's own. It is idempotent, and meant for
//
//	server.RegisterOnShutdown(func() { _ = handler.Close() })
//
// because http.Server.Shutdown waits for open streams.
func (h *Handler) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	err := h.Drain(ctx, 0)
	h.dispatcher.close() // each stream that has not ended has a goroutine that ends it
	if h.ownsHub {
		_ = h.hub.Close() // returns nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // those that were cut had their time
	}
	return err
}
