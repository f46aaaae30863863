package sse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/eventsource"

	"github.com/gapless-go/gapless/cdc"
)

// maxFrameBytes is the most that is read for one frame: base64 of four times
// the usual limit of an event.
const maxFrameBytes = 8 << 20

// remoteStream is one response of a Handler.
type remoteStream struct {
	cancel context.CancelFunc
	body   *pulse
	frames *eventsource.Decoder
	ended  bool        // the decoder has returned an error and must not be called again
	timer  *time.Timer // ends the stream when it is silent
	pause  *time.Timer // closes it when it waits for a Read in vain
	at     cdc.Cursor  // of the last frame
	retry  time.Duration
}

// pulse is the body of a response: each byte shows that the connection is
// alive, comments included, and a frame has its limit.
type pulse struct {
	io.ReadCloser
	alive func()
	frame atomic.Int64 // bytes since the last frame
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if n > 0 {
		p.alive()
	}
	if p.frame.Add(int64(n)) > maxFrameBytes {
		return 0, fmt.Errorf("a frame of more than %d bytes", maxFrameBytes)
	}
	return n, err
}

// received is one frame.
type received struct {
	name, id string
	data     []byte
	retry    time.Duration
}

// open sends the request and returns the stream after its hello.
func (r *Remote) open(ctx context.Context, start cdc.Start, lastEventID string) (*remoteStream, error) {
	streamCtx, cancel := context.WithCancel(r.ctx)
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	s := &remoteStream{cancel: cancel, timer: time.AfterFunc(r.opts.Silence, cancel)}
	response, err := r.request(streamCtx, http.MethodGet, start, lastEventID) //nolint:bodyclose,contextcheck // by remoteStream.close; a stream outlives the call
	if err != nil {
		s.timer.Stop()
		cancel()
		return nil, err
	}
	s.body = &pulse{ReadCloser: response.Body, alive: func() { s.timer.Reset(r.opts.Silence) }}
	s.frames = eventsource.NewDecoder(s.body)
	f, err := s.next()
	switch {
	case err != nil:
	case f.name == nameReconnect:
		err = &retryError{f.retry}
	case f.name != nameHello:
		err = fmt.Errorf("the first frame is %s and not %s: is it a Gapless endpoint?", printable(f.name), nameHello)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.retry = f.retry
	return s, nil
}

// retryError is the server's wish that the client comes back later.
type retryError struct{ after time.Duration }

func (e *retryError) Error() string { return "the server asks to reconnect in " + e.after.String() }

// close returns when the decoder's goroutine has ended.
func (s *remoteStream) close() {
	s.timer.Stop()
	if s.pause != nil {
		s.pause.Stop()
	}
	s.cancel()
	_ = s.body.Close() // nothing more is wanted from it
	for !s.ended {
		_, _ = s.next()
	}
}

// next reads a frame and keeps its position. A frame that was cut is an error.
func (s *remoteStream) next() (received, error) {
	for {
		e, err := s.frames.Decode()
		if err != nil {
			s.ended = true
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // a server ends a stream with cdc.reconnect
			}
			return received{}, err
		}
		s.body.frame.Store(0)
		if e.Data() == "" {
			continue
		}
		f := received{name: e.Event(), id: e.Id(), data: []byte(e.Data())}
		if r, ok := e.(interface{ Retry() int64 }); ok && r.Retry() > 0 && r.Retry() <= math.MaxInt32 {
			f.retry = time.Duration(r.Retry()) * time.Millisecond
		}
		return f, s.arrive(f)
	}
}

func (s *remoteStream) arrive(f received) error {
	if f.id == "" {
		if f.name == nameReconnect {
			return nil
		}
		return fmt.Errorf("frame %s without an id", printable(f.name))
	}
	c, err := cdc.ParseCursor(f.id)
	if err == nil {
		s.at = c
	}
	return err
}

// page reads events until the limit, when more is true, or until the stream
// is live.
func (s *remoteStream) page(after cdc.Cursor, limit int) (page cdc.Page, more bool, err error) {
	page.Next = after.Seq
	for size := 0; len(page.Events) < limit && size < cdc.PageBytes; {
		f, err := s.next()
		if err != nil {
			return page, false, err
		}
		switch f.name {
		case "":
			e, err := s.event(f)
			if err != nil {
				return page, false, err
			}
			page.Events = append(page.Events, e)
			size += e.Size()
		case nameReset:
			return page, false, s.reset(f)
		case nameReconnect:
			if len(page.Events) == 0 {
				return page, false, &retryError{f.retry}
			}
			return page, false, nil
		}
		page.Next = max(page.Next, s.at.Seq)
		if f.name == nameLive {
			return page, false, nil
		}
	}
	return page, true, nil
}

// event decodes the exact form of an event.
func (s *remoteStream) event(f received) (cdc.Event, error) {
	var d struct {
		Topic, Type, Key, ID string
		Time                 time.Time
		DataBase64           []byte
		Meta                 map[string]string
	}
	if err := json.Unmarshal(f.data, &d); err != nil {
		return cdc.Event{}, fmt.Errorf("event %s: %w", f.id, err)
	}
	e := cdc.Event{
		Seq: s.at.Seq, ID: d.ID, Topic: d.Topic, Type: d.Type, Key: d.Key,
		Time: d.Time, Data: d.DataBase64, Meta: d.Meta,
	}
	if tag := e.Tag(); tag != s.at.Tag {
		return cdc.Event{}, fmt.Errorf("event %s has the tag %s: something on the way has changed it", f.id, tag)
	}
	return e, nil
}

func (s *remoteStream) reset(f received) error {
	var d resetData
	if err := json.Unmarshal(f.data, &d); err != nil {
		return fmt.Errorf("reset %s: %w", f.id, err)
	}
	return &cdc.ResetError{Reason: d.Reason, Requested: d.Requested, Floor: d.Floor, Head: d.Head, Resume: s.at}
}
