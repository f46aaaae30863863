package sse

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Handler serves a log as server-sent events. Use [NewHandler] and Close.
type Handler struct {
	hub  *cdc.Hub
	own  bool // the hub is ours
	opts Options
	ring *ring
	raw  *ring // for ?data=exact

	counts counts // for Status

	mu      sync.Mutex
	streams map[*stream]struct{}
	closed  bool          // no stream is served any more
	empty   chan struct{} // closed when closed and there is no stream
}

// NewHandler returns a handler for the log. A log that is no [*cdc.Hub] gets
// one, which Close closes. The error says what is wrong with the options.
func NewHandler(log cdc.Log, opts *Options) (*Handler, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o = o.withDefaults()
	if err := o.check(log); err != nil {
		return nil, err
	}
	h := &Handler{opts: o, streams: map[*stream]struct{}{}, empty: make(chan struct{})}
	h.raw = &ring{framer: framer{encoder: envelope{raw: true, meta: true}, onError: h.failed}, maxBytes: o.FrameBytes}
	h.ring = &ring{framer: framer{encoder: o.Encoder, name: o.EventName, compat: o.Compat, onError: h.failed}, maxBytes: o.FrameBytes}
	switch {
	case o.Compat:
		h.ring.framer.encoder = compatEnvelope{}
		h.ring.framer.name = func(e cdc.Event) string { return e.Type }
	case o.Encoder == nil:
		h.ring.framer.encoder = Envelope
	}
	if hub, ok := log.(*cdc.Hub); ok {
		h.hub = hub
	} else {
		h.hub, h.own = cdc.NewHub(log, h.hubOptions()), true
	}
	return h, nil
}

// hubOptions lets the Hub tell what the Handler tells, unless it has been told
// otherwise.
func (h *Handler) hubOptions() *cdc.HubOptions {
	var o cdc.HubOptions
	if h.opts.Hub != nil {
		o = *h.opts.Hub
	}
	if o.OnError == nil {
		o.OnError = h.failed
	}
	if o.Observer == nil {
		o.Observer = h.opts.Observer
	}
	return &o
}

// Hub returns the Hub that the streams follow, to be used by others of the
// process: [cdc.Retain] waits for its followers.
func (h *Handler) Hub() *cdc.Hub { return h.hub }

// ServeHTTP serves one client until it leaves, the server drains or the log
// fails.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const methods = "GET, HEAD, OPTIONS"
	h.opts.CORS.allow(w.Header(), r)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", methods)
		p := &problem{Status: http.StatusMethodNotAllowed, Title: http.StatusText(http.StatusMethodNotAllowed), Detail: "an event stream is read with GET"}
		p.write(w)
		return
	}
	s := &stream{h: h}
	s.heartbeat = h.opts.Heartbeat - rand.N(h.opts.Heartbeat/5+1)
	s.out = writer{w: w, control: http.NewResponseController(w), timeout: h.opts.WriteTimeout, silence: s.heartbeat}
	defer s.out.close()
	err := h.admit(s, r)
	if err == nil {
		err = s.open(r)
	}
	if p, ok := errors.AsType[*problem](err); ok {
		p.write(w)
	}
}

// admit reads and authorizes the request. The error is a *problem, or
// errOverload.
func (h *Handler) admit(s *stream, r *http.Request) (err error) {
	if s.request, err = h.opts.parse(r); err != nil {
		return err
	}
	var grant Grant
	if h.opts.Authorize != nil {
		if grant, err = h.opts.Authorize(r); err != nil {
			return h.refuse(s, err)
		}
	}
	s.expires, s.expiry = grant.Expires, EndExpired
	if age := h.opts.MaxAge; age > 0 {
		if end := time.Now().Add(age - rand.N(age/5+1)); s.expires.IsZero() || end.Before(s.expires) {
			s.expires, s.expiry = end, EndMaxAge
		}
	}
	var some bool
	if s.filter, some = grant.Filter.Intersect(s.request.filter); !some {
		return &problem{Status: http.StatusForbidden, Title: http.StatusText(http.StatusForbidden), Detail: "nothing that the filter selects is allowed"}
	}
	return nil
}

// refuse answers an error of Options.Authorize.
func (h *Handler) refuse(s *stream, err error) error {
	access, ok := errors.AsType[*AccessError](err)
	if !ok {
		h.failed(err)
	}
	if ok && access.Status == http.StatusServiceUnavailable {
		s.refused = EndOverload
		return nil
	}
	return refusal(err)
}

// open sends the headers and serves the stream.
func (s *stream) open(r *http.Request) error {
	header := s.out.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the write deadline must not outlive the stream
	}
	if r.Method == http.MethodHead {
		return s.h.head(header, r)
	}
	if err := s.out.probe(); err != nil {
		header.Del("Connection")
		header.Del("X-Accel-Buffering")
		return err
	}
	s.ctx, s.cancel = context.WithCancelCause(r.Context())
	defer s.cancel(nil)
	s.remote, s.opened = r.RemoteAddr, time.Now()
	if s.refused == "" {
		s.refused = s.h.enter(s)
	}
	if reason := s.refused; reason != "" {
		s.h.ended(s, reason, false)
		s.pos, _ = s.request.start.Cursor()
		s.reconnect(2 * s.h.opts.Retry)
		return nil
	}
	s.h.opened(s)
	reason := EndLog // if it panics
	defer func() { s.h.leave(s, reason) }()
	reason = s.run()
	return nil
}

// head answers with the bounds of the log, for a Remote.
func (h *Handler) head(header http.Header, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.StartTimeout)
	defer cancel()
	b, err := h.hub.Bounds(ctx)
	if err != nil {
		h.failed(err)
		return &problem{Status: http.StatusServiceUnavailable, Title: "The log does not answer"}
	}
	header.Set(boundsHeader, formatBounds(b))
	return nil
}

// enter registers the stream, or says why it cannot be served.
func (h *Handler) enter(s *stream) EndReason {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return EndDrain
	case h.opts.MaxStreams > 0 && len(h.streams) >= h.opts.MaxStreams:
		return EndOverload
	}
	h.streams[s] = struct{}{}
	return ""
}

func (h *Handler) leave(s *stream, reason EndReason) {
	h.ended(s, reason, true)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	h.counts.gone(s)
	if h.closed && len(h.streams) == 0 {
		close(h.empty)
	}
}

// opened tells that a stream was admitted.
func (h *Handler) opened(s *stream) {
	h.counts.opened.Add(1)
	if h.opts.Observer != nil {
		h.opts.Observer.StreamOpened()
	}
	if l := h.opts.Logger; l != nil {
		l.LogAttrs(s.ctx, slog.LevelDebug, "event stream opened",
			slog.String("remote", s.remote), slog.String("start", printable(s.request.start.String())), slog.Any("filter", s.filter))
	}
}

// ended tells that a stream has ended, or was not admitted.
func (h *Handler) ended(s *stream, reason EndReason, admitted bool) {
	h.counts.ended(reason, admitted)
	if h.opts.Observer != nil {
		h.opts.Observer.StreamEnded(string(reason), admitted)
	}
	if l := h.opts.Logger; l != nil {
		l.LogAttrs(s.ctx, slog.LevelDebug, "event stream ended",
			slog.String("reason", string(reason)), slog.String("remote", s.remote), slog.Bool("admitted", admitted),
			slog.String("cursor", s.pos.String()), slog.Uint64("events", s.status.events.Load()),
			slog.Uint64("bytes", s.out.bytes), slog.Duration("age", time.Since(s.opened)))
	}
}

// failed reports an error that the application should know of.
func (h *Handler) failed(err error) {
	h.counts.failed(err)
	if h.opts.OnError != nil {
		h.opts.OnError(err)
	}
	if h.opts.Logger != nil {
		h.opts.Logger.Warn("event stream failed", slog.Any("error", err))
	}
}

// Drain tells every client to reconnect and ends its stream, spread over
// Options.DrainWindow but at most half of the time that ctx has; whoever comes
// from now on is told the same. It returns when all streams have ended. When
// ctx ends before, it cuts the clients that do not take what was sent to them,
// and returns the cause.
func (h *Handler) Drain(ctx context.Context) error {
	window := h.opts.DrainWindow
	if deadline, ok := ctx.Deadline(); ok {
		window = min(window, time.Until(deadline)/2)
	}
	return h.drain(ctx, window)
}

func (h *Handler) drain(ctx context.Context, window time.Duration) error {
	for _, s := range h.drained() {
		if window > 0 {
			s.endAfter(rand.N(window), EndDrain)
		} else {
			s.cancel(&ended{EndDrain})
		}
	}
	select {
	case <-h.empty:
		return nil
	case <-ctx.Done():
	}
	for _, s := range h.drained() {
		s.cancel(&ended{EndDrain})
		s.out.hurry()
	}
	return context.Cause(ctx)
}

// drained marks the handler as drained and returns the open streams.
func (h *Handler) drained() []*stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		if len(h.streams) == 0 {
			close(h.empty)
		}
	}
	open := make([]*stream, 0, len(h.streams))
	for s := range h.streams {
		open = append(open, s)
	}
	return open
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
	err := h.drain(ctx, 0)
	if h.own {
		_ = h.hub.Close() // returns nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // those that were cut had their time
	}
	return err
}
