package sse

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/gapless-go/gapless/cdc"
)

// maxFilterValues bounds the values of all filter parameters of a request:
// each costs a comparison for every event.
const maxFilterValues = 256

// request is what a client asked for.
type request struct {
	start     cdc.Start
	filter    cdc.Filter
	beatEvent bool // heartbeats are checkpoints
	exact     bool // for a Remote
}

// parse reads the request. The error is a *problem.
func (o *Options) parse(r *http.Request) (request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query string cannot be read: " + printable(err.Error()))
	}
	req := request{start: o.Start}
	if after := query.Get("after"); after != "" {
		if req.start, err = cdc.ParseStart(after); err != nil {
			return request{}, badRequest(`after must be the id of an event, a number, "latest" or "beginning"`)
		}
	}
	// A text that is no cursor is no start either: the stream is reset.
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		req.start = cdc.Start(id)
	}
	req.filter = cdc.Filter{Topics: query["topic"], Types: query["type"], Keys: query["key"]}
	if n := len(req.filter.Topics) + len(req.filter.Types) + len(req.filter.Keys); n > maxFilterValues {
		return request{}, badRequest(fmt.Sprintf("%d filter values, the limit is %d", n, maxFilterValues))
	}
	switch beat := query.Get("heartbeat"); beat {
	case "":
	case "event":
		req.beatEvent = true
	default:
		return request{}, badRequest(`heartbeat must be "event" or absent`)
	}
	switch exact := query.Get("data"); {
	case exact == "":
	case exact == "exact" && o.Encoder == nil && !o.Compat:
		req.exact = true
	default:
		return request{}, badRequest(`data must be "exact", where the server has no encoding of its own, or absent`)
	}
	return req, nil
}

// printable keeps at most 200 bytes of a text from outside.
func printable(s string) string {
	return fmt.Sprintf("%.200q", s)
}
