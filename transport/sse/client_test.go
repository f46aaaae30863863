package sse_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// frame is a dispatched event as the HTML standard has it, or a comment.
type frame struct {
	name, data, retry string
	id                string // empty if the block had none
	comment           bool
}

// received is the data of an event frame.
type received struct {
	Cursor, Topic, Type, Key, Time, ID string
	Data                               json.RawMessage
	DataBase64                         []byte
}

func (f frame) event(t testing.TB) received {
	t.Helper()
	var r received
	if err := json.Unmarshal([]byte(f.data), &r); err != nil {
		t.Fatalf("data %q of frame %q: %v", f.data, f.id, err)
	}
	return r
}

// payload is the data of the event as it was appended.
func (r received) payload() string {
	if r.Data != nil {
		return string(r.Data)
	}
	return string(r.DataBase64)
}

// parser reads frames from a stream.
type parser struct{ r *bufio.Reader }

func newParser(r io.Reader) *parser { return &parser{bufio.NewReaderSize(r, 64<<10)} }

// next returns the next complete frame or comment.
func (p *parser) next() (frame, error) {
	var f frame
	var data []string
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return frame{}, err // a block without its blank line is dropped
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if data == nil {
				return frame{}, errors.New("a block without data")
			}
			f.data = strings.Join(data, "\n")
			return f, nil
		}
		if f.id != "" {
			return frame{}, fmt.Errorf("the line %q after the id: it is the last one of every frame", line)
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			if data == nil && f == (frame{}) {
				return frame{comment: true, data: value}, nil
			}
			return frame{}, errors.New("a comment inside of a block")
		case "event":
			f.name = value
		case "data":
			data = append(data, value)
		case "id":
			if value == "" {
				return frame{}, errors.New("an empty id")
			}
			f.id = value
		case "retry":
			f.retry = value
		default:
			return frame{}, fmt.Errorf("line %q", line)
		}
	}
}

// follower is an open stream.
type follower struct {
	*parser
	t        testing.TB
	response *http.Response
	cancel   context.CancelFunc
}

func (f *follower) close() {
	f.cancel()
	_ = f.response.Body.Close()
}

// want returns the next frame, which must have that name; comments are skipped.
func (f *follower) want(name string) frame {
	f.t.Helper()
	for {
		got, err := f.next()
		if err != nil {
			f.t.Fatalf("reading, want %q: %v", name, err)
		}
		if got.comment {
			continue
		}
		if got.name != name {
			f.t.Fatalf("frame %+v, want %q", got, name)
		}
		return got
	}
}

// wantPayload returns the next frame, which must be an event with that data.
func (f *follower) wantPayload(data string) frame {
	f.t.Helper()
	got := f.want("")
	if p := got.event(f.t).payload(); p != data {
		f.t.Fatalf("payload %q, want %q", p, data)
	}
	return got
}

func (f *follower) wantEnd() {
	f.t.Helper()
	if got, err := f.next(); err != io.EOF {
		f.t.Fatalf("frame %+v, error %v; want the end", got, err)
	}
}

// server is a handler on a log behind HTTP/1.1.
type server struct {
	*httptest.Server
	handler *sse.Handler
	log     *memlog.Log
}

func serve(t testing.TB, log *memlog.Log, opts *sse.Options) *server {
	t.Helper()
	if log == nil {
		log = memlog.New(nil)
	}
	s := serveLog(t, log, opts)
	s.log = log
	return s
}

func serveLog(t testing.TB, log cdc.Log, opts *sse.Options) *server {
	t.Helper()
	handler, err := newHandler(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: httptest.NewServer(handler), handler: handler}
	t.Cleanup(func() {
		_ = handler.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// get makes a request with header pairs.
func (s *server) get(t testing.TB, query string, headers ...string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.Client().Do(r)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return response, cancel
}

func (s *server) follow(t testing.TB, query string, headers ...string) *follower {
	t.Helper()
	response, cancel := s.get(t, query, headers...)
	f := &follower{parser: newParser(response.Body), t: t, response: response, cancel: cancel}
	t.Cleanup(f.close)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, want 200", response.StatusCode)
	}
	return f
}

func appendData(t testing.TB, log cdc.Log, data ...string) cdc.Receipt {
	t.Helper()
	events := make([]cdc.Event, len(data))
	for i, d := range data {
		events[i] = cdc.Event{Topic: "t", Type: "x", Key: "k", Data: []byte(d)}
	}
	r, err := cdc.Append(context.Background(), log, events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func cursorOf(t testing.TB, text string) cdc.Cursor {
	t.Helper()
	c, err := cdc.ParseCursor(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// errorLog collects what Options.OnError is told.
type errorLog struct {
	mu     sync.Mutex
	errors []error
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, err)
}

func (l *errorLog) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.errors)
}

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// lazyBody is the body of the response on a connection whose request was sent
// by hand.
type lazyBody struct {
	conn net.Conn
	body io.Reader
}

func (b *lazyBody) Read(p []byte) (int, error) {
	if b.body == nil {
		response, err := http.ReadResponse(bufio.NewReaderSize(b.conn, 4096), nil)
		if err != nil {
			return 0, err
		}
		b.body = response.Body
		if response.Header.Get("Content-Encoding") == "gzip" {
			if b.body, err = gzip.NewReader(response.Body); err != nil {
				return 0, err
			}
		}
	}
	return b.body.Read(p)
}

// heap is the memory in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
