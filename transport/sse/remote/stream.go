package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/eventsource"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// maxFrameBytes is the most that is read for one frame: base64 of four times
// the usual limit of an event.
const maxFrameBytes = 8 << 20

// stream is one response of a handler.
type stream struct {
	cancel       context.CancelFunc
	body         *body
	frames       *eventsource.Decoder
	decoderEnded bool        // the decoder has returned an error and must not be called again
	silenceTimer *time.Timer // ends the stream when it is silent
	at           cdc.Cursor  // of the last frame
	retry        time.Duration
}

// body is the body of a response: each byte shows that the connection is
// alive, comments included, and a frame has its limit.
type body struct {
	io.ReadCloser
	alive      func()
	frameBytes atomic.Int64 // since the last frame
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.alive()
	}
	if b.frameBytes.Add(int64(n)) > maxFrameBytes {
		return 0, fmt.Errorf("a frame of more than %d bytes", maxFrameBytes)
	}
	return n, err
}

// frame is one block of the stream that has data.
type frame struct {
	name, id string
	data     []byte
	retry    time.Duration
}

// open sends the request and returns the stream after its hello.
func (l *Log) open(ctx context.Context, params url.Values) (*stream, error) {
	streamCtx, cancel := context.WithCancel(l.ctx)
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	s := &stream{cancel: cancel, silenceTimer: time.AfterFunc(l.opts.Silence, cancel)}
	params.Set(wire.DataParam, wire.DataExact)
	response, err := l.request(streamCtx, params) //nolint:bodyclose,contextcheck // by stream.close; a stream outlives the call
	if err != nil {
		s.silenceTimer.Stop()
		cancel()
		return nil, err
	}
	s.body = &body{ReadCloser: response.Body, alive: func() { s.silenceTimer.Reset(l.opts.Silence) }}
	s.frames = eventsource.NewDecoder(s.body)
	if err := s.hello(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// hello reads the first frame.
func (s *stream) hello() error {
	f, err := s.next()
	switch {
	case err != nil:
		return err
	case f.name == wire.Reconnect:
		return &reconnectError{f.retry}
	case f.name != wire.Hello:
		return fmt.Errorf("the first frame is %s and not %s: is it a Gapless endpoint?", wire.Quote(f.name), wire.Hello)
	}
	s.retry = f.retry
	return nil
}

// close returns when the decoder's goroutine has ended.
func (s *stream) close() {
	s.silenceTimer.Stop()
	s.cancel()
	_ = s.body.Close() // nothing more is wanted from it
	s.drain()
}

// drain reads to the end of the body, after which the connection is used again.
func (s *stream) drain() {
	for !s.decoderEnded {
		_, _ = s.next()
	}
}

// next reads a frame and keeps its position. An incomplete frame is an error.
func (s *stream) next() (frame, error) {
	for {
		e, err := s.frames.Decode()
		if err != nil {
			s.decoderEnded = true
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // a server ends a stream with cdc.reconnect
			}
			return frame{}, err
		}
		s.body.frameBytes.Store(0)
		if e.Data() == "" {
			continue
		}
		f := frame{name: e.Event(), id: e.Id(), data: []byte(e.Data())}
		if r, ok := e.(interface{ Retry() int64 }); ok && r.Retry() > 0 && r.Retry() <= math.MaxInt32 {
			f.retry = time.Duration(r.Retry()) * time.Millisecond
		}
		return f, s.advance(f)
	}
}

// advance moves the position to that of the frame.
func (s *stream) advance(f frame) error {
	if f.id == "" {
		if f.name == wire.Reconnect {
			return nil
		}
		return fmt.Errorf("frame %s without an id", wire.Quote(f.name))
	}
	c, err := cdc.ParseCursor(f.id)
	if err == nil {
		s.at = c
	}
	return err
}

// event decodes the exact form of an event.
func (s *stream) event(f frame) (cdc.Event, error) {
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

// reset decodes a reset. The result is never nil.
func (s *stream) reset(f frame) error {
	var d wire.ResetData
	if err := json.Unmarshal(f.data, &d); err != nil {
		return fmt.Errorf("reset %s: %w", f.id, err)
	}
	return &cdc.ResetError{Reason: d.Reason, Requested: d.Requested, Floor: d.Floor, Head: d.Head, Resume: s.at}
}
