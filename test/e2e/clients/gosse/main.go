// Command gosse follows a stream with github.com/tmaxmax/go-sse.
package main

import (
	"context"
	"net/http"

	"github.com/tmaxmax/go-sse"

	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

func main() { report.Run(follow) }

func follow(ctx context.Context, url, last string, message func(event, id, data string)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	connection := sse.NewConnection(req)
	connection.Buffer(nil, 2<<20) // an event may be longer than the 64 KB of the default
	connection.SubscribeToAll(func(e sse.Event) { message(e.Type, e.LastEventID, e.Data) })
	_ = connection.Connect() // whatever it is, it is the end of this connection
}
