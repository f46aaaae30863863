package sse

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gapless-go/gapless/transport/sse/internal/gz"
)

// writeError is a failure to reach the client.
type writeError struct {
	err  error
	late bool // the piece had its time
}

func (e *writeError) Error() string { return "sse: write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// writer writes to one client in pieces, each of which has its time.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for a piece; negative is none
	silence time.Duration // longest time without a write, over which a deadline must not pass; 0: it may
	reused  bool          // the connection, by a later request
	gzip    bool          // the body is compressed
	sum     gz.Sum        // of its text
	last    time.Time     // end of the last write
	bytes   uint64        // written, compressed if the body is
	err     error         // *writeError of the first write that failed

	mu       sync.Mutex
	deadline time.Time // as it was set last
	writing  bool
	hurried  bool // by hurry
	closed   bool
}

// start finds out, before anything is written, whether the response can be
// streamed, and sends the headers.
func (w *writer) start() error {
	if err := w.firstDeadline(); err != nil {
		return unstreamable("no write deadline can be set", err)
	}
	if !canFlush(w.w) {
		return unstreamable("nothing can be flushed", http.ErrNotSupported)
	}
	// Not left to Flush: compressors look at the headers when they are written,
	// and some pass a Flush on without having done so.
	w.w.WriteHeader(http.StatusOK)
	if w.gzip {
		n, err := io.WriteString(w.w, gz.Header)
		if err != nil {
			return &writeError{err: err}
		}
		w.bytes = uint64(n)
	}
	if err := w.control.Flush(); err != nil {
		return unstreamable("nothing can be flushed", err)
	}
	w.last = time.Now()
	return nil
}

// firstDeadline replaces the deadline that the server has set. Without a
// timeout there is none, nor must the response be able to have one.
func (w *writer) firstDeadline() error {
	if w.timeout >= 0 {
		return w.beginPiece(time.Now())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.set(time.Time{})
}

// canFlush reports whether [http.ResponseController.Flush] would find what it
// looks for.
func canFlush(w http.ResponseWriter) bool {
	for layer := range layers(w) {
		switch layer.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		}
	}
	return false
}

func unstreamable(what string, err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return &problem{
			Status: http.StatusInternalServerError, Title: "This response cannot be streamed",
			Detail: what + ": a middleware wraps the http.ResponseWriter without an Unwrap method, as http.TimeoutHandler does; mount the event stream outside of it",
		}
	}
	return &writeError{err: err}
}

// write writes text and flushes it. After a failure nothing is written any more:
// the client may have got a part of it.
func (w *writer) write(text []byte) error {
	if !w.gzip {
		return w.send(text)
	}
	m := memories.Get().(*memory)
	defer memories.Put(m)
	m.frames = gz.AppendStored(m.frames[:0], text)
	w.sum.AddText(text)
	return w.send(m.frames)
}

// conclude writes the end of the text, of which a body that is compressed says
// more than that of its response does.
func (w *writer) conclude() {
	if w.gzip {
		_ = w.send(w.sum.AppendEnd(nil)) // it is the end either way
	}
}

// text is how many bytes of text were written.
func (w *writer) text() uint64 {
	if w.gzip {
		return uint64(w.sum.Size())
	}
	return w.bytes
}

// add counts a part that is sent for the end of the text.
func (w *writer) add(p gz.Part) {
	if w.gzip {
		w.sum.Add(p)
	}
}

// send writes all of p as a part of the body, and flushes it.
func (w *writer) send(p []byte) error {
	if w.err == nil {
		if err := w.writePieces(p); err != nil {
			w.err = &writeError{err: err, late: w.late(err)}
		}
	}
	return w.err
}

// late reports whether a write failed because the client did not take the piece
// in time. The error alone does not say so on HTTP/2; on a connection that has
// ConnContext the kernel may say so before the deadline passes.
func (w *writer) late(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timeout < 0 || w.hurried {
		return false
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout() || !time.Now().Before(w.deadline)
}

// failure is the error of the write that failed.
func (w *writer) failure() error { return w.err }

// writePieces: a piece that is as large as ours leaves without a flush, since
// net/http keeps at most 4 KB back.
func (w *writer) writePieces(p []byte) error {
	for len(p) > 0 {
		if err := w.beginPiece(time.Now()); err != nil {
			return err
		}
		n := min(len(p), pieceBytes)
		if _, err := w.w.Write(p[:n]); err != nil {
			return err
		}
		w.bytes += uint64(n)
		p = p[n:]
	}
	if err := w.control.Flush(); err != nil {
		return err
	}
	w.last = time.Now()
	return w.endWrite(w.last)
}

// beginPiece gives the next piece its time. Setting a deadline costs more than
// the frame of an event, so it gets up to an eighth more and keeps that for a
// while.
func (w *writer) beginPiece(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = true
	if w.hurried {
		return w.set(now.Add(hurriedTimeout))
	}
	return w.extend(now, w.timeout, w.timeout+w.timeout/8)
}

// endWrite makes sure that the deadline does not pass before the next write: on
// HTTP/2 that would end the stream for good.
func (w *writer) endWrite(now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	if w.silence == 0 {
		return nil
	}
	least := w.silence + w.silence/4 + time.Second
	return w.extend(now, least, max(least, w.timeout)+w.timeout/8)
}

// extend sets the deadline anew unless the time until it is between least and
// most; w.mu is held.
func (w *writer) extend(now time.Time, least, most time.Duration) error {
	if remaining := w.deadline.Sub(now); w.timeout < 0 || w.hurried || remaining >= least && remaining <= most {
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
	err := w.control.SetWriteDeadline(deadline)
	if w.timeout < 0 && errors.Is(err, http.ErrNotSupported) {
		return nil // none is needed
	}
	return err
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
// after it. A request that follows on the connection must not find our deadline.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reused && w.err == nil && !w.deadline.IsZero() {
		_ = w.set(time.Time{})
	}
	w.closed = true
}
