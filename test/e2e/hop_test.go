package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// hop is an HTTP/1.1 proxy with a fault. It changes the heads of requests and
// responses as the fault says, and carries bodies as they are on the wire,
// chunks included, so that a cut may be at any byte. What it does to its n-th
// request depends on n alone, so that all clients meet the same.
type hop struct {
	relay
	fault    fault
	spoils   int64        // how many requests it spoils: the first; -1 for three of four
	requests atomic.Int64 // for streams
	faults   atomic.Int64 // what the fault did
	cuts     atomic.Int64 // beside it
}

func newHop(t *testing.T, target string, f fault, spoils int64) *hop {
	t.Helper()
	h := &hop{fault: f, spoils: spoils}
	h.start(t, target, h.serve)
	return h
}

// exchange is one request for a stream and its response.
type exchange struct {
	client, server net.Conn
	n              int64 // of the request, from 1
	rand           *rand.Rand
	gone           <-chan struct{} // closed when the client has gone
	broken         *atomic.Int64   // counts
}

// serve carries one request.
func (h *hop) serve(client, server net.Conn) {
	in := bufio.NewReader(client)
	request, err := readHead(in)
	if err != nil {
		return
	}
	gone := make(chan struct{})
	h.group.Go(func() {
		io.Copy(io.Discard, in) // requests for streams have no body
		close(gone)
		server.Close()
	})
	request.set("Connection", "close")
	if !strings.Contains(request.line, " /events?") || strings.HasPrefix(request.line, "OPTIONS ") {
		server.Write(request.bytes())
		io.Copy(client, server)
		return
	}
	n := h.requests.Add(1)
	x := &exchange{client: client, server: server, n: n, gone: gone, rand: rand.New(rand.NewPCG(2026, uint64(n))), broken: &h.faults}
	if f := h.fault; f.request != nil || f.response != nil || f.status != "" {
		x.broken = &h.cuts
	}
	h.carry(x, request)
}

// carry passes a request for a stream to the server, and its response back.
func (h *hop) carry(x *exchange, request *head) {
	f, spoil := h.fault, x.n <= h.spoils || h.spoils < 0 && x.rand.IntN(4) > 0
	wasHead := strings.HasPrefix(request.line, "HEAD ")
	if f.status != "" && spoil && x.n%2 == 0 { // the odd ones are cut
		h.faults.Add(1)
		fmt.Fprintf(x.client, "HTTP/1.1 %s\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\nsorry", f.status)
		return
	}
	if (spoil || f.always) && f.request != nil && f.request(request) {
		h.faults.Add(1)
	}
	x.server.Write(request.bytes())
	from := bufio.NewReader(x.server)
	response, err := readHead(from)
	if err != nil {
		return
	}
	if (spoil || f.always) && f.response != nil && f.response(response) {
		h.faults.Add(1)
	}
	if wasHead { // whatever it became
		x.client.Write(response.bytes())
		return
	}
	all := io.MultiReader(bytes.NewReader(response.bytes()), from)
	if !spoil {
		io.Copy(x.client, all)
		return
	}
	f.body(x, all)
}

// head is the head of a request or response.
type head struct {
	line   string
	fields [][2]string
}

func readHead(in *bufio.Reader) (*head, error) {
	h := &head{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ":"); {
		case h.line == "":
			h.line = line
		case line == "":
			return h, nil
		default:
			h.fields = append(h.fields, [2]string{name, strings.TrimSpace(value)})
		}
	}
}

func (h *head) bytes() []byte {
	var b bytes.Buffer
	b.WriteString(h.line + "\r\n")
	for _, f := range h.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// drop removes the fields and reports whether there were any.
func (h *head) drop(names ...string) bool {
	before := len(h.fields)
	h.fields = slices.DeleteFunc(h.fields, func(f [2]string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, f[0]) })
	})
	return len(h.fields) < before
}

func (h *head) set(name, value string) {
	h.drop(name)
	h.fields = append(h.fields, [2]string{name, value})
}
