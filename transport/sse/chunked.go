package sse

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// chunked writes the body of a response over HTTP/1.1 whose connection was taken
// over after its headers, with the same bytes as net/http: a chunk for each Write.
type chunked struct{ conn net.Conn }

// copiedBytes is up to how many bytes are copied so that they leave in one piece
// with what frames them.
const copiedBytes = 16 << 10

func (c chunked) Write(p []byte) (int, error) {
	if len(p) == 0 { // would be the end
		return 0, nil
	}
	m := memories.Get().(*memory)
	defer memories.Put(m)
	m.frames = append(strconv.AppendUint(m.frames[:0], uint64(len(p)), 16), "\r\n"...)
	var err error
	if len(p) <= copiedBytes {
		m.frames = append(append(m.frames, p...), "\r\n"...)
		_, err = c.conn.Write(m.frames)
	} else {
		pieces := net.Buffers{m.frames, p, []byte("\r\n")}
		_, err = pieces.WriteTo(c.conn)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// end is the end of the body.
func (c chunked) end() error {
	_, err := io.WriteString(c.conn, "0\r\n\r\n")
	return err
}

func (c chunked) Header() http.Header                { return nil }
func (c chunked) WriteHeader(int)                    {}
func (c chunked) FlushError() error                  { return nil }
func (c chunked) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }

// takeOver makes the writer write to the connection itself, which has no
// deadlines, instead of to the response.
func (w *writer) takeOver(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.w = chunked{conn}
	w.control = http.NewResponseController(w.w)
	w.deadline = time.Time{}
}

// finish writes the end of the body, unless the client may not have got all of
// what was sent. It is for a connection that was taken over.
func (w *writer) finish() {
	if w.err == nil && w.beginPiece(time.Now()) == nil {
		_ = w.w.(chunked).end() // nobody to tell if the client has gone
	}
}
