package sse

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// writeError is a failure to reach the client.
type writeError struct{ err error }

func (e *writeError) Error() string { return "sse: write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// writer writes to one client in pieces, each of which has its time.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for a piece; negative is none
	silence time.Duration // longest time without a write
	last    time.Time     // end of the last write
	bytes   uint64        // written

	mu       sync.Mutex
	deadline time.Time // as it was set last
	writing  bool
	hurried  bool // by hurry
	closed   bool
}

// probe finds out, before anything is written, whether the response can be
// streamed, and sends the headers.
func (w *writer) probe() error {
	if err := w.arm(time.Now()); err != nil {
		return unstreamable("no write deadline can be set", err)
	}
	if !canFlush(w.w) {
		return unstreamable("nothing can be flushed", http.ErrNotSupported)
	}
	// Not left to Flush: compressors look at the headers when they are written,
	// and some pass a Flush on without having done so.
	w.w.WriteHeader(http.StatusOK)
	if err := w.control.Flush(); err != nil {
		return unstreamable("nothing can be flushed", err)
	}
	w.last = time.Now()
	return nil
}

// canFlush reports whether [http.ResponseController.Flush] would find what it
// looks for.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch v := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return false
		}
	}
}

func unstreamable(what string, err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return &problem{
			Status: http.StatusInternalServerError, Title: "This response cannot be streamed",
			Detail: what + ": a middleware wraps the http.ResponseWriter without an Unwrap method, as http.TimeoutHandler does; mount the event stream outside of it",
		}
	}
	return &writeError{err}
}

// write writes all of p and flushes it. A piece that is as large as ours leaves
// without a flush: net/http keeps at most 4 KB back.
func (w *writer) write(p []byte) error {
	for len(p) > 0 {
		if err := w.arm(time.Now()); err != nil {
			return &writeError{err}
		}
		n := min(len(p), pieceBytes)
		if _, err := w.w.Write(p[:n]); err != nil {
			return &writeError{err}
		}
		w.bytes += uint64(n)
		p = p[n:]
	}
	if err := w.control.Flush(); err != nil {
		return &writeError{err}
	}
	w.last = time.Now()
	if err := w.rest(w.last); err != nil {
		return &writeError{err}
	}
	return nil
}

// arm gives the next piece its time. Setting a deadline costs more than the
// frame of an event, so it gets up to an eighth more and keeps that for a
// while.
func (w *writer) arm(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = true
	if w.hurried {
		return w.set(now.Add(hurriedTimeout))
	}
	return w.between(now, w.timeout, w.timeout+w.timeout/8)
}

// rest makes sure that the deadline does not pass before the next write: on
// HTTP/2 that would end the stream for good.
func (w *writer) rest(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	least := w.silence + w.silence/4 + time.Second
	return w.between(now, least, max(least, w.timeout)+w.timeout/8)
}

// between sets the deadline anew unless it is that far away; w.mu is held.
func (w *writer) between(now time.Time, least, most time.Duration) error {
	if left := w.deadline.Sub(now); w.timeout < 0 || w.hurried || left >= least && left <= most {
		return nil
	}
	return w.set(now.Add(most))
}

// set sets the deadline; w.mu is held.
func (w *writer) set(deadline time.Time) error {
	if w.closed {
		return nil
	}
	w.deadline = deadline
	return w.control.SetWriteDeadline(deadline)
}

// After hurry a write that is under way gets a moment more, since it may be a
// last frame whose goroutine waits for its turn. Later pieces get longer: with
// no write under way the client's buffers have room, so they need none of it.
const (
	hurriedMoment  = 100 * time.Millisecond
	hurriedTimeout = time.Second
)

// hurry ends a write that is under way, and gives later ones little time. Any
// goroutine may call it.
func (w *writer) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hurried = true
	if w.writing {
		_ = w.set(time.Now().Add(hurriedMoment)) // the write ends by itself if not by this
	}
}

// close is called when the handler ends: the response must not be touched
// after it.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}
