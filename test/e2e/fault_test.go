package e2e_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// fault is what a hop does wrong.
type fault struct {
	name     string
	spoils   int64            // how many requests it spoils in the short run, the first; 0 means 4
	ends     bool             // it needs a server that ends its streams after a while: before that nothing comes
	always   bool             // it changes the head of every request, also of those that it does not spoil
	request  func(*head) bool // changes the head, and reports whether it did
	response func(*head) bool
	status   string                                // answered instead of every second stream, until enough are broken
	body     func(x *exchange, response io.Reader) // carries the response, head included
}

// headIntoGet is what caches do.
const headIntoGet = "turns HEAD into GET"

// faults are the rows of the table. The position matters when a client comes
// back, so the streams of most are cut, too.
var faults = []fault{
	{name: "cuts at any byte", body: cutAnywhere},
	{name: "drops Last-Event-ID", always: true, request: func(h *head) bool { return h.drop("Last-Event-ID") }, body: cutAnywhere},
	{name: "drops Cache-Control and X-Accel-Buffering", always: true, response: func(h *head) bool { return h.drop("Cache-Control", "X-Accel-Buffering") }, body: cutAnywhere},
	{name: "repeats headers", request: (*head).repeat, response: (*head).repeat, body: cutAnywhere},
	{name: "reorders headers", always: true, request: (*head).reverse, response: (*head).reverse, body: cutAnywhere},
	{name: headIntoGet, always: true, request: (*head).get, body: cutAnywhere},
	{name: "buffers the whole response", ends: true, body: hold(1 << 30)},
	{name: "buffers until 8 KB are there", ends: true, body: hold(8 << 10)},
	{name: "answers 502 once", status: "502 Bad Gateway", body: cutAnywhere},
	{name: "answers 404 once", status: "404 Not Found", body: cutAnywhere},
	{name: "answers 401 once", status: "401 Unauthorized", body: cutAnywhere},
	{name: "goes silent without closing", spoils: 2, body: goSilent},
	{name: "passes on a few bytes at a time", body: trickle},
}

// framing are the fields that say where a message ends, and to whom it goes:
// these, twice, are an error in HTTP. CORS is given up by browsers if twice.
var framing = []string{"host", "connection", "transfer-encoding", "content-length", "access-control-allow-origin"}

// repeat has every field twice.
func (h *head) repeat() bool {
	var twice [][2]string
	for _, f := range h.fields {
		twice = append(twice, f)
		if !slices.Contains(framing, strings.ToLower(f[0])) {
			twice = append(twice, f)
		}
	}
	h.fields = twice
	return true
}

func (h *head) reverse() bool {
	slices.Reverse(h.fields)
	return true
}

// get makes a GET of a HEAD.
func (h *head) get() bool {
	rest, was := strings.CutPrefix(h.line, "HEAD ")
	if was {
		h.line = "GET " + rest
	}
	return was
}

// cutAnywhere ends a response after some of its bytes: in the head, in a chunk
// or in a frame; with a FIN or a reset.
func cutAnywhere(x *exchange, response io.Reader) {
	limit := int64(12 << 10)
	if x.n%3 == 0 { // also in the head
		limit = 400
	}
	if _, err := io.CopyN(x.client, response, 1+x.rand.Int64N(limit)); err != nil {
		return // the server or the client has ended it
	}
	x.broken.Add(1)
	if x.rand.IntN(2) == 0 {
		x.client.(*net.TCPConn).SetLinger(0)
	}
}

// hold passes on a response in pieces of at least that size, or what there is
// at its end.
func hold(size int64) func(*exchange, io.Reader) {
	return func(x *exchange, response io.Reader) {
		for {
			var piece bytes.Buffer
			_, err := io.CopyN(&piece, response, size)
			select {
			case <-x.gone:
				return
			default:
			}
			x.broken.Add(1)
			if _, failed := x.client.Write(piece.Bytes()); err != nil || failed != nil {
				return
			}
		}
	}
}

// goSilent passes on some bytes, and then nothing, as a peer does that lost its
// power; the client must leave by itself.
func goSilent(x *exchange, response io.Reader) {
	if _, err := io.CopyN(x.client, response, 1+x.rand.Int64N(12<<10)); err != nil {
		return
	}
	x.broken.Add(1)
	<-x.gone
}

// trickle passes on a few bytes, waits, and so on.
func trickle(x *exchange, response io.Reader) {
	x.broken.Add(1)
	for {
		if _, err := io.CopyN(x.client, response, 1+x.rand.Int64N(64)); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
