// Command r3labs follows a stream with github.com/r3labs/sse.
package main

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"

	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

func main() { report.Run(follow) }

func follow(ctx context.Context, url, last string, message func(event, id, data string)) {
	client := sse.NewClient(url, sse.ClientMaxBufferSize(2<<20)) // an event may be longer than the 64 KB of the default
	// The default pause grows with every reconnect, up to a minute, and never
	// shrinks again.
	client.ReconnectStrategy = untilDone{ctx, backoff.NewConstantBackOff(500 * time.Millisecond)}
	if last != "" {
		client.LastEventID.Store([]byte(last))
	}
	_ = client.SubscribeRawWithContext(ctx, func(e *sse.Event) { // whatever it is, it is the end
		event, id, data := string(e.Event), string(e.ID), string(e.Data)
		if report.Plain() {
			message(event, id, data)
			return
		}
		at, whole := position(event, id, data, last)
		client.LastEventID.Store([]byte(at))
		if last = at; whole {
			message(event, at, data)
		}
	})
}

// untilDone stops when ctx has ended: by itself the client would try for ever,
// with requests that fail at once.
type untilDone struct {
	ctx context.Context
	backoff.BackOff
}

// NextBackOff implements backoff.BackOff.
func (b untilDone) NextBackOff() time.Duration {
	if b.ctx.Err() != nil {
		return backoff.Stop
	}
	return b.BackOff.NextBackOff()
}

// position is where a stream is after a message, and whether that arrived uncut:
// this client delivers what there is of the last block when the connection
// breaks, and resumes from its id, which may be a part of one. The data of
// Gapless is JSON, and that of an event or a hello has the position. The id of
// another message is believed if it has its tag, which comes last.
func position(event, id, data, last string) (at string, whole bool) {
	var body struct{ Cursor, From string }
	if json.Unmarshal([]byte(data), &body) != nil {
		return last, false
	}
	switch event {
	case "":
		if body.Cursor != id {
			return last, false
		}
		return id, true
	case "cdc.hello":
		return body.From, true
	case "cdc.reset":
		return id, true
	}
	if tagged.MatchString(id) {
		return id, true
	}
	return last, true
}

var tagged = regexp.MustCompile(`^[^.]+\.\d+\.[\w-]{11}$`)
