// Command r3labs follows a stream with github.com/r3labs/sse.
package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"

	"github.com/gapless-go/gapless/e2e/clients/report"
)

func main() { report.Run(follow) }

func follow(ctx context.Context, url, last string, message func(event, id, data string)) {
	client := sse.NewClient(url, sse.ClientMaxBufferSize(2<<20)) // an event may be longer than the 64 KB of the default
	// The default pause grows with every reconnect, up to a minute, and never
	// shrinks again.
	client.ReconnectStrategy = backoff.NewConstantBackOff(500 * time.Millisecond)
	if last != "" {
		client.LastEventID.Store([]byte(last))
	}
	_ = client.SubscribeRawWithContext(ctx, func(e *sse.Event) { // whatever it is, it is the end
		id, data := string(e.ID), string(e.Data)
		if !report.Plain() && !whole(string(e.Event), id, data) {
			client.LastEventID.Store([]byte(last))
			return
		}
		last = id
		message(string(e.Event), id, data)
	})
}

// whole reports whether a message arrived uncut: this client delivers what
// there is of the last block when the connection breaks, and resumes from its
// id. The data of Gapless is JSON and that of an event repeats the cursor, so a
// part of one can be told.
func whole(event, id, data string) bool {
	var body struct{ Cursor string }
	if json.Unmarshal([]byte(data), &body) != nil {
		return false
	}
	return event != "" || body.Cursor == id
}
