package sse

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// heartbeat is one comment. A blank line after it would make one of the common
// clients fire an empty message.
const heartbeat = ":\n"

// validName reports whether an event's frame may be named so: a receiver gets
// the name unchanged, and takes it for nothing of ours or of its own.
func validName(name string) bool {
	return name != "" && name != "error" && name != "open" &&
		!strings.HasPrefix(name, cdc.ReservedTypePrefix) && !strings.ContainsAny(name, "\r\n\x00")
}

// control is a frame of our own. Its data is one line of JSON.
type control struct {
	name  string
	id    string        // none if empty: an empty id: would clear the client's cursor
	data  any           // nil is {}
	retry time.Duration // none if 0
}

// append appends the frame to dst. Everything is in one block that has data:
// some clients take a block without data for an empty message.
func (c control) append(dst []byte) []byte {
	dst = append(append(append(dst, "event: "...), c.name...), '\n')
	data := []byte("{}")
	if c.data != nil {
		data, _ = json.Marshal(c.data) // structs of texts and numbers always encode
	}
	dst = appendData(dst, data)
	if c.retry > 0 {
		dst = strconv.AppendInt(append(dst, "retry: "...), max(1, c.retry.Milliseconds()), 10)
		dst = append(dst, '\n')
	}
	if c.id != "" { // last, as in the frames of events
		dst = append(append(append(dst, "id: "...), c.id...), '\n')
	}
	return append(dst, '\n')
}

func newResetData(e *cdc.ResetError) wire.ResetData {
	requested := e.Requested
	if len(requested) > cdc.MaxCursorBytes { // only a text that is no cursor
		requested = strings.ToValidUTF8(requested[:cdc.MaxCursorBytes], "") + "…"
	}
	return wire.ResetData{Reason: e.Reason, Requested: requested, Floor: e.Floor, Head: e.Head}
}

// jitter returns between half and one and a half of d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(max(1, d))
}
