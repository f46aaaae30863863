package soak_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// frame is one block of a text/event-stream.
type frame struct {
	id, event, data string
}

// frames reads blocks until the body ends. A block that the cut has left
// incomplete is dropped, as the HTML standard has it.
func frames(body io.Reader, handle func(frame) bool) error {
	in := bufio.NewReaderSize(body, 64<<10)
	var f frame
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if f.data != "" && !handle(f) {
				return nil
			}
			f = frame{}
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			f.data += value
		}
	}
}

// client follows /events over as many connections as it takes.
type client struct {
	server *server
	start  string         // of the first connection, as in ?after=
	seen   *verify.Stream // for the judge
	last   string         // Last-Event-ID
	from   cdc.Cursor     // of the first hello
	pos    uint64         // seq of the last event, or of the start
	events int
	resets int
	delay  []time.Duration // of each event whose data has a "sent" time
}

// connect reads one response until the limit of bytes is reached, the handler
// says that it has enough, or the connection ends.
func (c *client) connect(ctx context.Context, limit int64, enough func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.url("/events?after="+url.QueryEscape(c.start)), nil)
	if err != nil {
		return err
	}
	if c.last != "" {
		req.Header.Set("Last-Event-ID", c.last)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	var bad error
	err = frames(io.LimitReader(resp.Body, limit), func(f frame) bool {
		bad = c.take(f)
		return bad == nil && !enough()
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return errors.Join(bad, err)
}

func (c *client) take(f frame) error {
	cursor, err := cdc.ParseCursor(f.id)
	if err != nil {
		return fmt.Errorf("frame %+v: %w", f, err)
	}
	switch f.event {
	case "":
		var body struct {
			ID   string
			Data struct{ Sent int64 }
		}
		if err := json.Unmarshal([]byte(f.data), &body); err != nil {
			return fmt.Errorf("frame %+v: %w", f, err)
		}
		c.events++
		c.pos = cursor.Seq
		c.seen.Add(cursor.Seq, verify.Record{Seq: cursor.Seq, ID: body.ID, Sum: sum(f)})
		if body.Data.Sent > 0 {
			c.delay = append(c.delay, time.Since(time.UnixMicro(body.Data.Sent)))
		}
	case "cdc.hello":
		if c.last == "" {
			c.from, c.pos = cursor, cursor.Seq
			c.seen.Begin(cursor)
		}
	case "cdc.reset":
		c.resets++
	}
	c.last = f.id
	return nil
}

var seed = maphash.MakeSeed()

// sum is a hash of the frame's bytes, which are the same for every client.
func sum(f frame) uint64 { return maphash.String(seed, f.id+"\n"+f.data) | 1 }

// newClient returns a client whose stream the history judges.
func newClient(s *server, h *verify.History, name, start string) *client {
	return &client{server: s, start: start, seen: h.Stream(name)}
}

// readLog records the whole log as what it is in the end, up to the last seq.
func readLog(ctx context.Context, s *server, h *verify.History, last uint64) (*client, error) {
	c := &client{server: s, start: "beginning", seen: h.Log("the log")}
	return c, c.connect(ctx, 1<<40, func() bool { return c.pos >= last })
}

// judge fails the test with every promise that was broken.
func judge(t *testing.T, h *verify.History) {
	t.Helper()
	for i, v := range verify.Verify(h) {
		if i == 10 {
			t.Fatal("and more")
		}
		t.Error(v)
	}
}
