package sse

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// maxFrameBytes is the longest line that is read: base64 of four times the
// usual limit of an event.
const maxFrameBytes = 8 << 20

// remoteStream is one response of a Handler.
type remoteStream struct {
	silence time.Duration
	cancel  context.CancelFunc
	body    io.ReadCloser
	lines   *bufio.Reader
	timer   *time.Timer // ends the stream when it is silent
	at      cdc.Cursor  // of the last frame
	retry   time.Duration
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
	s := &remoteStream{silence: r.opts.Silence, cancel: cancel}
	s.timer = time.AfterFunc(s.silence, cancel)
	response, err := r.request(streamCtx, http.MethodGet, start, lastEventID) //nolint:bodyclose,contextcheck // by remoteStream.close; a stream outlives the call
	if err != nil {
		s.timer.Stop()
		cancel()
		return nil, err
	}
	s.body, s.lines = response.Body, bufio.NewReaderSize(response.Body, 32<<10)
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

func (s *remoteStream) close() {
	s.timer.Stop()
	s.cancel()
	if s.body != nil {
		_ = s.body.Close() // nothing more is wanted from it
	}
}

// next reads a frame and keeps its position. Comments only show that the
// connection is alive.
func (s *remoteStream) next() (received, error) {
	var f received
	hasData := false
	for {
		line, err := s.line()
		if err != nil {
			return received{}, err
		}
		if len(line) == 0 {
			if !hasData {
				continue
			}
			return f, s.arrive(f)
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			f.name = string(value)
		case "id":
			f.id = string(value)
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				f.retry = time.Duration(ms) * time.Millisecond
			}
		case "data":
			if hasData {
				f.data = append(f.data, '\n')
			}
			if f.data = append(f.data, value...); len(f.data) > maxFrameBytes {
				return received{}, fmt.Errorf("a frame of more than %d bytes", maxFrameBytes)
			}
			hasData = true
		}
	}
}

// line reads a line without its end. It is valid until the next call.
func (s *remoteStream) line() ([]byte, error) {
	line, err := s.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxFrameBytes {
				return nil, fmt.Errorf("a line of more than %d bytes", maxFrameBytes)
			}
			line, err = s.lines.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // a server ends a stream with cdc.reconnect
		}
		return nil, err
	}
	s.timer.Reset(s.silence)
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
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
