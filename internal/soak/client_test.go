package soak_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
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
	start  string       // of the first connection, as in ?after=
	last   string       // Last-Event-ID
	from   cdc.Cursor   // of the first hello
	got    []cdc.Cursor // of every event
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
		c.got = append(c.got, cursor)
		var body struct{ Data struct{ Sent int64 } }
		if err := json.Unmarshal([]byte(f.data), &body); err != nil {
			return fmt.Errorf("frame %+v: %w", f, err)
		}
		if body.Data.Sent > 0 {
			c.delay = append(c.delay, time.Since(time.UnixMicro(body.Data.Sent)))
		}
	case "cdc.hello":
		if c.last == "" {
			c.from = cursor
		}
	case "cdc.reset":
		c.resets++
	}
	c.last = f.id
	return nil
}

// at is the seq of the last event, or of the start.
func (c *client) at() uint64 {
	if n := len(c.got); n > 0 {
		return c.got[n-1].Seq
	}
	return c.from.Seq
}
