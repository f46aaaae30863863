package sse

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// maxFilterValues bounds the values of all filter parameters of a request:
// each costs a comparison for every event.
const maxFilterValues = 256

// request is what a client asked for.
type request struct {
	start      cdc.Start
	filter     cdc.Filter
	beatEvent  bool // heartbeats are checkpoints
	exact      bool // every byte of an event is wanted, and its metadata
	limit      int  // of events; 0 is none
	boundsOnly bool // no stream is wanted
	pages      int  // from how many on the client goes on with pages; 0 is none
	page       wire.Page
}

// parse reads the request. The error is a *problem.
func (o *Options) parse(r *http.Request) (request, error) {
	if hasBody(r) { // net/http does not notice that a client leaves before its body was read
		return request{}, badRequest("an event stream is asked for without a body")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query string cannot be read: " + wire.Quote(err.Error()))
	}
	if err := checkNames(query); err != nil {
		return request{}, err
	}
	req := request{start: o.Start, filter: queryFilter(query)}
	if after := query.Get(wire.AfterParam); after != "" {
		if req.start, err = cdc.ParseStart(after); err != nil {
			return request{}, badRequest(`after must be the id of an event, a number, "latest" or "beginning"`)
		}
	}
	// A text that is no cursor is no start either: the stream is reset.
	if id := lastEventID(r, query); id != "" {
		req.start = cdc.AfterText(id)
	}
	if n := len(query["topic"]) + len(query["type"]) + len(query["key"]); n > maxFilterValues {
		return request{}, badRequest(fmt.Sprintf("%d filter values, the limit is %d", n, maxFilterValues))
	}
	if err = o.parseForms(query, &req); err == nil {
		err = parsePages(query, &req)
	}
	return req, err
}

// hasBody reports whether a body may follow. On HTTP/3 a length that is unknown
// says nothing: no GET has one.
func hasBody(r *http.Request) bool {
	return r.ContentLength > 0 || r.ContentLength < 0 && r.ProtoMajor < 3
}

// parseForms reads the parameters that choose a form of the answer.
func (o *Options) parseForms(query url.Values, req *request) error {
	switch beat := query.Get("heartbeat"); beat {
	case "":
	case "event":
		req.beatEvent = true
	default:
		return badRequest(`heartbeat must be "event" or absent`)
	}
	switch exact := query.Get(wire.DataParam); {
	case exact == "":
	case exact == wire.DataExact && o.isEnvelope():
		req.exact = true
	default:
		return badRequest(`data must be "exact", where the server has no encoding of its own, or absent`)
	}
	if limit := query.Get(wire.LimitParam); limit != "" {
		n, err := strconv.ParseUint(limit, 10, 31)
		if err != nil || n == 0 {
			return badRequest("limit must be a number of events, or absent")
		}
		req.limit = int(n)
	}
	switch bounds := query.Get(wire.BoundsParam); bounds {
	case "":
	case wire.BoundsOnly:
		req.boundsOnly = true
	default:
		return badRequest(`bounds must be "only" or absent`)
	}
	return nil
}

// parsePages reads the parameters that have to do with pages. A position beside
// a page means nothing, but tickets want one.
func parsePages(query url.Values, req *request) error {
	if pages := query.Get(wire.PagesParam); pages != "" {
		n, err := strconv.ParseUint(pages, 10, 31)
		if err != nil || n == 0 {
			return badRequest("logpages must be a number of pages, or absent")
		}
		req.pages = int(n)
	}
	text := query.Get(wire.PageParam)
	if text == "" {
		return nil
	}
	p, ok := wire.ParsePage(text)
	if !ok {
		return badRequest("logpage must be the epoch of the log and two seqs, as in c6yis6ymsweyz.512-1024, or absent")
	}
	if req.limit > 0 || req.boundsOnly {
		return badRequest("a page has all of its events: it goes with neither limit nor bounds")
	}
	req.page, req.start = p, cdc.After(cdc.Cursor{Epoch: p.Epoch, Seq: p.From})
	return nil
}

// lastEventID is the position of a client that comes back. Polyfills put it
// into the query, where the newest one is the last.
func lastEventID(r *http.Request, query url.Values) string {
	if id := r.Header.Get(wire.LastEventID); id != "" {
		return id
	}
	for _, name := range []string{wire.LastEventIDParam, wire.LastEventID} {
		for _, id := range slices.Backward(query[name]) {
			if id != "" {
				return id
			}
		}
	}
	return ""
}

// queryFilter reads ?topic=, ?type= and ?key=. A topic that ends in * is a
// prefix.
func queryFilter(query url.Values) cdc.Filter {
	f := cdc.Filter{Types: query["type"], Keys: query["key"]}
	for _, topic := range query["topic"] {
		if prefix, ok := strings.CutSuffix(topic, "*"); ok {
			f.TopicPrefixes = append(f.TopicPrefixes, prefix)
		} else {
			f.Topics = append(f.Topics, topic)
		}
	}
	return f
}

// checkNames refuses a parameter that is almost one of ours: ignored, ?Topic=
// would be a stream without a filter.
func checkNames(query url.Values) error {
	ours := wire.Params()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if slices.Contains(ours, name) {
			continue
		}
		for _, right := range ours {
			if plainName(name) == plainName(right) {
				return badRequest(fmt.Sprintf("there is no parameter %s: write %s", wire.Quote(name), right))
			}
		}
	}
	return nil
}

// plainName is the name without case, plural and what separates words.
func plainName(name string) string {
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_.[] ", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
	return strings.TrimSuffix(letters, "s")
}

// isEnvelope reports whether events are sent in the default encoding.
func (o *Options) isEnvelope() bool {
	_, ok := o.Encoder.(envelope)
	return ok
}
