package ssetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// frame is one block of an event stream as it stands on the wire, or a comment.
type frame struct {
	comment bool
	name    string // event:
	id      string
	hasID   bool
	data    string
	hasData bool
	retry   string
	unknown string // a line that is no field
}

func (f frame) isEvent() bool {
	return !f.comment && f.hasData && !strings.HasPrefix(f.name, cdc.ReservedTypePrefix)
}

// named selects control frames.
func named(name string) func(frame) bool {
	return func(f frame) bool { return f.name == cdc.ReservedTypePrefix+name }
}

func (f frame) String() string {
	if f.comment {
		return "a comment"
	}
	return fmt.Sprintf("event %q id %q data %.60q", f.name, f.id, f.data)
}

// parseFrame reads the first block of an event stream as the HTML standard has
// it: lines end with CR, LF or CRLF, a block with an empty line. A comment is
// returned as soon as its line is there. ok is false if more bytes are needed.
func parseFrame(raw []byte) (f frame, used int, ok bool) {
	var data []string
	for used < len(raw) {
		end := bytes.IndexAny(raw[used:], "\r\n")
		if end < 0 {
			return f, 0, false
		}
		line := string(raw[used : used+end])
		next := used + end + 1
		if raw[used+end] == '\r' {
			if next == len(raw) {
				return f, 0, false // an LF may follow
			}
			if raw[next] == '\n' {
				next++
			}
		}
		if strings.HasPrefix(line, ":") && used == 0 {
			return frame{comment: true}, next, true
		}
		used = next
		if line == "" {
			f.data = strings.Join(data, "\n")
			return f, used, true
		}
		f.field(line, &data)
	}
	return f, 0, false
}

func (f *frame) field(line string, data *[]string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		f.name = value
	case "id":
		f.id, f.hasID = value, true
	case "data":
		*data = append(*data, value)
		f.hasData = true
	case "retry":
		f.retry = value
	case "":
	default:
		f.unknown = line
	}
}

// framesOf parses what a client that is cut here has received, and its last
// event id: that of the last block that was complete.
func framesOf(raw []byte) (frames []frame, lastID string) {
	for {
		f, n, ok := parseFrame(raw)
		if !ok {
			return frames, lastID
		}
		raw = raw[n:]
		frames = append(frames, f)
		if f.hasID && f.hasData {
			lastID = f.id
		}
	}
}

// received is an event as a client has it.
type received struct {
	cursor  cdc.Cursor
	payload []byte
}

// receive reads an event's frame.
func (t *test) receive(f frame) received {
	t.Checked()
	c, err := cdc.ParseCursor(f.id)
	if err != nil || !f.hasID || c.Seq == 0 {
		t.Fail(verify.Bookmark, "the frame of an event has the id %q, which is no cursor: a client that is cut after it cannot resume", f.id)
	}
	payload, err := t.payload(f.data)
	if err != nil {
		t.Fail(verify.Reliable, "the data of event %d cannot be read: %v: %.200q", c.Seq, err, f.data)
	}
	return received{cursor: c, payload: payload}
}

func (t *test) payload(data string) ([]byte, error) {
	if t.h.Payload != nil {
		return t.h.Payload(data)
	}
	var e struct {
		Data       json.RawMessage
		DataBase64 []byte
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return nil, err
	}
	if e.DataBase64 != nil {
		return e.DataBase64, nil
	}
	return e.Data, nil
}

// response reads the head of the response.
func (c *client) response() error {
	reader := bufio.NewReader(c.conn)
	r, err := http.ReadResponse(reader, nil) //nolint:bodyclose // the connection is closed with the case
	if err != nil {
		return err
	}
	c.status, c.header, c.body = r.StatusCode, r.Header, r.Body
	return nil
}

// samePayload compares payloads: JSON by its value, other bytes exactly.
func samePayload(got, want []byte) bool {
	if bytes.Equal(got, want) {
		return true
	}
	var a, b bytes.Buffer
	return json.Compact(&a, got) == nil && json.Compact(&b, want) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

// wellFormed checks what every block has to keep.
func (t *test) wellFormed(f frame) {
	t.Checked()
	switch {
	case f.comment:
	case f.unknown != "":
		t.Fail(verify.Contained, "the stream has a line that is no field: %.100q", f.unknown)
	case !f.hasData:
		t.Fail(verify.Contained, "a block has no data (id %q, retry %q): some clients take it for an empty message, others do not take its id", f.id, f.retry)
	case !f.hasID || f.id == "":
		t.Fail(verify.Bookmark, "%s has no id: in some clients the last event id is then empty", f)
	}
}
