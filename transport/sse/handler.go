package sse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// bodyTimeout is how long a body may take that nobody asked for.
const bodyTimeout = 500 * time.Millisecond

// Handler serves a log as server-sent events. Use [NewHandler] and Close.
type Handler struct {
	hub     *cdc.Hub
	ownsHub bool // Close closes the hub
	opts    Options
	ring    *ring
	exact   *ring // frames for ?data=exact

	dispatcher *dispatcher
	counts     counts // for Status

	mu       sync.Mutex
	arriving map[*stream]struct{} // before they are served or turned away
	streams  map[*stream]struct{} // that are served
	draining bool                 // no further stream is served
	drained  chan struct{}        // closed when draining and there is no stream
}

// NewHandler returns a handler for the log. A log that is no [*cdc.Hub] gets
// one, which Close closes. The error says what is wrong with the options.
func NewHandler(log cdc.Log, opts *Options) (*Handler, error) {
	o := opts.withDefaults()
	if err := o.check(log); err != nil {
		return nil, err
	}
	h := &Handler{opts: o, arriving: map[*stream]struct{}{}, streams: map[*stream]struct{}{}, drained: make(chan struct{})}
	h.ring = h.newRing(framer{encoder: o.Encoder, name: o.EventName})
	if o.Compat {
		h.ring = h.newRing(framer{encoder: compatEnvelope{}, name: func(e cdc.Event) string { return e.Type }, compat: true})
	}
	h.exact = h.newRing(framer{encoder: envelope{base64: true, meta: true}})
	if hub, ok := log.(*cdc.Hub); ok {
		h.hub = hub
	} else {
		hub, err := cdc.NewHub(log, h.hubOptions())
		if err != nil {
			return nil, fmt.Errorf("sse: Options.Hub: %w", err)
		}
		h.hub, h.ownsHub = hub, true
	}
	h.dispatcher = newDispatcher(h.hub)
	return h, nil
}

func (h *Handler) newRing(f framer) *ring {
	f.onError = h.report
	return &ring{framer: f, maxBytes: h.opts.Limits.FrameBytes}
}

// hubOptions lets the Hub report its errors as the Handler does, unless it has
// an OnError of its own.
func (h *Handler) hubOptions() *cdc.HubOptions {
	var o cdc.HubOptions
	if h.opts.Hub != nil {
		o = *h.opts.Hub
	}
	if o.OnError == nil {
		o.OnError = h.report
	}
	return &o
}

// Hub returns the Hub that the streams follow, to be used by others of the
// process: [cdc.Retain] waits for its followers.
func (h *Handler) Hub() *cdc.Hub { return h.hub }

// ServeHTTP serves one client until it leaves, the server drains or the log
// fails.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.answer(w, r)
	if s == nil {
		return
	}
	// Here, where little of the stack is in use: Go gives all goroutines that
	// net/http starts for a connection twice the stack if these wait 100 bytes deeper.
	<-s.turns.ended
	s.endResponse(r)
}

// answer answers what wants no stream. It returns a stream that has begun and is
// not parked.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) *stream {
	const methods = "GET, HEAD, OPTIONS"
	h.opts.CORS.allow(w.Header(), r)
	w.Header().Set("X-Content-Type-Options", "nosniff") // no page takes an answer for a script
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		w.Header().Set("Allow", methods)
		p := &problem{Status: http.StatusMethodNotAllowed, Title: http.StatusText(http.StatusMethodNotAllowed), Detail: "an event stream is read with GET"}
		p.write(w)
		return nil
	}
	s := &stream{h: h}
	s.heartbeat = h.opts.Heartbeat - rand.N(h.opts.Heartbeat/5+1)
	s.out = writer{w: w, control: http.NewResponseController(w), timeout: h.opts.Timeouts.Write}
	if r.ProtoMajor > 1 {
		s.out.silence = s.heartbeat
	}
	begun := false
	defer func() {
		if !begun {
			s.out.close()
		}
	}()
	h.arrive(s)
	defer h.arrived(s)
	err := h.admit(s, r)
	switch {
	case err != nil:
	case s.request.page != wire.Page{}:
		err = s.openPage(r)
	case r.Method == http.MethodHead || s.request.boundsOnly:
		err = h.answerBounds(w, r)
	default:
		begun, err = s.open(r)
	}
	switch {
	case err != nil:
		s.refuse(r, err)
	case begun && s.parked == nil:
		return s
	}
	return nil
}

// refuse answers the error of a request that did not become a stream.
func (s *stream) refuse(r *http.Request, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		s.out.abort(r)
	}
	if hasBody(r) { // net/http reads it first
		_ = s.out.control.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	p.write(s.out.w)
}
