package broken

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// WriteTimeout and Heartbeat of a [Handler].
const (
	WriteTimeout = time.Second
	Heartbeat    = 30 * time.Millisecond
)

// Handler is a small SSE handler with the bug.
type Handler struct {
	Log    cdc.Log
	Bug    Bug
	Encode func(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) // nil is an envelope
}

// ServeHTTP serves one client.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	start, err := cdc.ParseStart(query.Get("after"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" && h.Bug != HeaderIgnored {
		start = cdc.AfterText(id)
		if c, ok := start.Cursor(); ok && h.Bug == HeaderInclusive && c.Seq > 0 {
			c.Seq, c.Tag = c.Seq-1, ""
			start = cdc.After(c)
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	ctx := r.Context()
	if h.Bug == SurvivesDisconnect {
		ctx = context.WithoutCancel(ctx)
	}
	s := &sseStream{h: h, ctx: ctx, control: http.NewResponseController(w), filter: cdc.Filter{Types: query["type"]}}
	s.w = bufio.NewWriter(progress{s, w})
	for s.err == nil || h.Bug == SurvivesDisconnect {
		reset := s.follow(start)
		if reset == nil {
			return
		}
		if h.Bug == SilentReset {
			<-ctx.Done()
			return
		}
		start = cdc.After(reset.Resume)
		id := reset.Resume.String()
		if h.Bug == ResetIDResets {
			id = reset.Requested
			if c, err := cdc.ParseCursor(id); err != nil || c.Seq > 0 {
				id = (cdc.Cursor{Epoch: "gone", Seq: reset.Resume.Seq}).String()
			}
		}
		s.frame("cdc.reset", id, fmt.Appendf(nil, `{"reason":%q}`, reset.Reason), "")
		s.flush()
	}
}

// sseStream is one client.
type sseStream struct {
	h       Handler
	ctx     context.Context
	w       *bufio.Writer
	control *http.ResponseController
	filter  cdc.Filter
	scratch []byte // for an Encode
	hello   bool
	live    bool
	err     error
}

// follow streams until the client leaves (nil) or the log says reset.
func (s *sseStream) follow(start cdc.Start) *cdc.ResetError {
	for b, err := range cdc.Follow(s.ctx, s.h.Log, start, &cdc.FollowOptions{Heartbeat: Heartbeat, Filter: s.filter}) {
		if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
			s.live = false
			return reset
		}
		if err != nil {
			return nil
		}
		id := b.Cursor.String()
		switch {
		case !s.hello:
			s.hello = true
			s.greet(id)
		case len(b.Events) > 0:
			for _, e := range b.Events {
				s.event(b.Cursor.Epoch, e)
			}
		case b.State == cdc.Live && !s.live:
		default:
			s.beat(id)
		}
		if b.State == cdc.Live && !s.live {
			s.live = true
			s.frame("cdc.live", id, []byte("{}"), "")
		}
		if s.flush(); s.err != nil && s.h.Bug != SurvivesDisconnect {
			return nil
		}
	}
	return nil
}

func (s *sseStream) greet(id string) {
	if s.h.Bug == HelloWithoutID {
		id = ""
	}
	if s.h.Bug == RetryAlone {
		_, _ = s.w.WriteString("retry: 1000\n\n")
	}
	s.frame("cdc.hello", id, []byte("{}"), "retry: 1000\n")
}

func (s *sseStream) beat(id string) {
	if s.h.Bug == HeartbeatWithID {
		_, _ = s.w.WriteString(":\nid: " + id + "\n\n")
		return
	}
	_, _ = s.w.WriteString(":\n")
}

func (s *sseStream) event(epoch string, e cdc.Event) {
	data := s.encode(e.Cursor(epoch), e)
	id := e.Cursor(epoch).String()
	name := ""
	switch s.h.Bug {
	case NoID:
		id = ""
	case TypeForges:
		name = e.Type
	case SplitAtBuffer:
		for len(data) > 64<<10 {
			s.frame(name, id, data[:64<<10], "")
			data = data[64<<10:]
		}
	}
	s.frame(name, id, data, "")
}

// encode returns the data of the event's frame.
func (s *sseStream) encode(c cdc.Cursor, e cdc.Event) []byte {
	if s.h.Encode != nil {
		if s.h.Bug != NeighbourReached {
			e.Data = slices.Clip(e.Data)
		}
		if data, err := s.h.Encode(s.scratch[:0], c, e); err == nil {
			if s.h.Bug == KeepsEncoded {
				s.scratch = data
			}
			return data
		}
	}
	if json.Valid(e.Data) {
		return append(append([]byte(`{"data":`), e.Data...), '}')
	}
	return fmt.Appendf(nil, `{"dataBase64":%q}`, base64.StdEncoding.EncodeToString(e.Data))
}

// frame writes one block.
func (s *sseStream) frame(name, id string, data []byte, more string) {
	var b strings.Builder
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	text := string(data)
	if s.h.Bug == CRNotSplit {
		text = strings.ReplaceAll(text, "\n", "\ndata: ")
	} else {
		text = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ").Replace(text)
	}
	if id != "" && (s.h.Bug != MultilineLosesID || !strings.Contains(text, "\n")) {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("data: " + text + "\n" + more + "\n")
	_, _ = s.w.WriteString(b.String())
}

func (s *sseStream) flush() {
	if s.h.Bug == NoFlush && s.hello && s.live {
		return
	}
	if err := s.w.Flush(); err != nil {
		s.err = err
	}
	if err := s.control.Flush(); err != nil {
		s.err = err
	}
}

// progress writes in pieces, each with a deadline of its own: a large event on
// a slow link arrives.
type progress struct {
	s *sseStream
	w io.Writer
}

func (p progress) Write(b []byte) (n int, err error) {
	for piece := range slices.Chunk(b, 64<<10) {
		if p.s.h.Bug != NoWriteDeadline {
			_ = p.s.control.SetWriteDeadline(time.Now().Add(WriteTimeout))
		}
		wrote, err := p.w.Write(piece)
		if n += wrote; err != nil {
			return n, err
		}
	}
	return n, nil
}
