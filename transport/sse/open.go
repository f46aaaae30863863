package sse

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/transport/sse/internal/gz"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// open sends the headers and begins the stream, which then belongs to its turns.
// The error is a *problem, or a *writeError if the client may not have got all of
// what was sent.
func (s *stream) open(r *http.Request) (begun bool, err error) {
	header := s.out.w.Header()
	if s.out.gzip = s.h.opts.Limits.Compress && gz.Accepted(r.Header) && !encoded(header); s.out.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	s.h.opts.streamHeaders(header)
	if s.out.reused = s.request.limit > 0; !s.out.reused && r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the write deadline must not outlive the stream
	}
	outliveReadTimeout(s.out.control, r)
	if err = s.out.start(); err != nil {
		header.Del("Connection")
		header.Del("X-Accel-Buffering")
		if s.out.gzip {
			header.Del("Content-Encoding")
		}
		return false, err
	}
	s.remote, s.opened = r.RemoteAddr, time.Now()
	inGoodOrder := endWithReset(r)
	// The context has the values of the request's, whose end is a stop like others.
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(r.Context()))
	if s.parkable(r) {
		s.parked = &parked{fd: -1} // before Status sees the stream
	}
	if !s.entered() {
		defer s.cancel(nil)
		if err = s.reject(); err == nil {
			inGoodOrder()
		}
		return false, err
	}
	s.observeOpened()
	if s.parked != nil {
		err = s.park()
	} else {
		s.serve(r, inGoodOrder)
	}
	if err == nil {
		go s.firstTurn() // endResponse and Drain wait for the last
	}
	return err == nil, err
}

// serve lets the handler wait for the stream.
func (s *stream) serve(r *http.Request, inGoodOrder func()) {
	if s.h.opts.Limits.Park {
		s.h.counts.unparkable.Add(1)
	}
	s.turns.ended = make(chan struct{})
	s.turns.inGoodOrder = inGoodOrder
	s.turns.unwatch = context.AfterFunc(r.Context(), func() { s.stop(context.Cause(r.Context())) }) //nolint:contextcheck // the stream has its own
}

// endResponse is called when the stream has ended that the handler waits for. A
// panic of foreign code comes out here, where net/http and middleware can recover
// it.
func (s *stream) endResponse(r *http.Request) {
	defer s.out.close()
	s.turns.unwatch()
	s.cancel(nil)
	s.h.leave(s, s.turns.reason)
	if p := s.turns.panicked; p != nil {
		panic(p)
	}
	if s.out.failure() != nil {
		s.out.abort(r)
	}
	s.turns.inGoodOrder()
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
	if s.out.gzip {
		s.h.counts.compressed.Add(1)
	}
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

func (o *Options) streamHeaders(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx
	if o.Limits.Compress && !varies(header) {
		header.Add("Vary", "Accept-Encoding")
	}
}

// encoded reports whether a middleware encodes the response, or may: one that
// has said that it varies will, and some do it whatever encoding there is.
func encoded(header http.Header) bool {
	return header.Get("Content-Encoding") != "" || varies(header)
}

func varies(header http.Header) bool {
	return slices.ContainsFunc(header.Values("Vary"), func(names string) bool {
		return strings.Contains(strings.ToLower(names), "accept-encoding")
	})
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
		h.opts.streamHeaders(header)
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
