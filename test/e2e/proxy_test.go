package e2e_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// cutter is a TCP proxy that cuts each connection after a random number of
// bytes, with a FIN or a reset.
type cutter struct {
	relay
	limit int64 // most bytes that a connection carries towards the client
	cuts  atomic.Int64
	open  atomic.Bool // nothing is cut
}

func newCutter(t *testing.T, target string, limit int64) *cutter {
	t.Helper()
	c := &cutter{limit: limit}
	c.start(t, target, c.serve)
	return c
}

func (c *cutter) serve(client, server net.Conn) {
	c.group.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	if _, err := io.CopyN(client, server, 1+rand.Int64N(c.limit)); err != nil {
		return // the server has ended it
	}
	if c.open.Load() {
		io.Copy(client, server)
		return
	}
	c.cuts.Add(1)
	if rand.IntN(2) == 0 {
		client.(*net.TCPConn).SetLinger(0)
	}
}
