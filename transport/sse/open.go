package sse

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// open sends the headers and serves the stream, or hands it over to a goroutine
// of its own, after which it must not be touched. The error is a *problem, or a
// *writeError if the client may not have got all of what was sent.
func (s *stream) open(r *http.Request) (handedOver bool, err error) {
	header := s.out.w.Header()
	streamHeaders(header)
	if s.out.reused = s.request.limit > 0; !s.out.reused && r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the write deadline must not outlive the stream
	}
	outliveReadTimeout(s.out.control, r)
	if err = s.out.start(); err != nil {
		header.Del("Connection")
		header.Del("X-Accel-Buffering")
		return false, err
	}
	s.remote, s.opened = r.RemoteAddr, time.Now()
	if s.parkable(r) {
		return s.openParkable(r)
	}
	return false, s.serve(r)
}

// serve serves the stream until it ends.
func (s *stream) serve(r *http.Request) (err error) {
	inGoodOrder := endWithReset(r)
	defer func() {
		if err == nil {
			inGoodOrder()
		}
	}()
	s.ctx, s.cancel = context.WithCancelCause(r.Context())
	defer s.cancel(nil)
	if !s.entered() {
		return s.reject()
	}
	reason := EndLog // if foreign code panics
	defer func() { s.h.leave(s, reason) }()
	s.observeOpened()
	if s.h.lot != nil {
		s.h.counts.unparkable.Add(1)
	}
	reason = s.run()
	return s.out.failure()
}

// entered reports whether the stream is to be served.
func (s *stream) entered() bool {
	if s.rejection == "" {
		s.rejection = s.h.enter(s)
	}
	return s.rejection == ""
}

func (s *stream) observeOpened() {
	s.h.counts.opened.Add(1)
	observe(s.h, "Observer.StreamOpened", s.h.opts.Observer.StreamOpened, StreamOpened{Remote: s.remote, Start: s.request.start, Filter: s.filter})
}

// outliveReadTimeout lifts the read deadline where it is that of the server: it
// was for the request, which has been read, and net/http takes it for a client
// that has gone.
func outliveReadTimeout(control *http.ResponseController, r *http.Request) {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ReadTimeout > 0 {
		_ = control.SetReadDeadline(time.Time{}) // without it the stream ends early, but in good order
	}
}

func streamHeaders(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx
}

// reject asks a client that is not served to come back later.
func (s *stream) reject() error {
	s.pos, _ = s.request.start.Cursor()
	s.observeEnd(s.rejection, false)
	s.reconnect(2 * s.h.opts.Retry)
	return s.out.failure()
}

// answerBounds answers a request that wants no stream, for package remote: a
// HEAD in a header, and a GET in the body, since a cache may make a GET of a HEAD.
func (h *Handler) answerBounds(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeouts.Start)
	defer cancel()
	b, err := h.hub.Bounds(ctx)
	if err != nil {
		h.report(err)
		return &problem{Status: http.StatusServiceUnavailable, Title: "The log does not answer"}
	}
	header := w.Header()
	header.Set(wire.BoundsHeader, wire.FormatBounds(b))
	if r.Method == http.MethodHead {
		streamHeaders(header)
		return nil
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(wire.BoundsData{Log: b.Epoch, Floor: b.Floor, Head: b.Head, Last: b.Last}) // always encodes
	_, _ = w.Write(body)                                                                               // nobody to tell if the client has gone
	return nil
}

// leave is called once for each stream that was entered. The place is free
// after it, whatever the Observer does.
func (h *Handler) leave(s *stream, reason EndReason) {
	defer h.free(s)
	s.observeEnd(reason, true)
}

func (h *Handler) free(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	h.counts.add(s)
	if h.draining && len(h.streams) == 0 {
		close(h.drained)
	}
}
