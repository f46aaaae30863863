package jetstream_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
)

// TestHubSparesTheServer: many followers over one Hub, half of whose events are
// there when they begin and half of which are appended while they follow, ask the
// server for at most twice what one of them asks for.
func TestHubSparesTheServer(t *testing.T) {
	clients, events := rounds(20, 100), rounds(5000, 20_000)
	n := startNode(t)
	one := requestsOf(t, n, 1, events)
	many := requestsOf(t, n, clients, events)
	t.Logf("%d clients, %d events: %d requests; one client: %d", clients, events, many, one)
	if many > 2*one {
		t.Errorf("%d clients made %d requests, one made %d", clients, many, one)
	}
}

// requestsOf is how many messages the connection of the followers has sent.
func requestsOf(t *testing.T, n *node, clients, events int) int64 {
	t.Helper()
	name := fmt.Sprint("log", clients)
	writer := openLog(t, n, name)
	write := func() {
		for range events / 2 / 100 {
			if _, err := writer.Append(t.Context(), newEvents(100)...); err != nil {
				t.Error(err)
				return
			}
		}
	}
	write()
	js := newJS(t, n)
	hub, err := cdc.NewHub(open(t, js, name, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() { followAll(t, hub, events) })
	}
	write()
	group.Wait()
	id, err := js.Conn().GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	conns, err := n.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns.Conns {
		if c.Cid == id {
			return c.InMsgs
		}
	}
	t.Fatal("the server does not know the connection")
	return 0
}

// followAll wants every event once and in order.
func followAll(t *testing.T, log cdc.Log, events int) {
	seq := uint64(0)
	for batch, err := range cdc.Follow(t.Context(), log, cdc.Beginning(), nil) {
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range batch.Events {
			if seq++; e.Seq != seq {
				t.Errorf("event %d came where %d is next", e.Seq, seq)
				return
			}
		}
		if seq >= uint64(events) { //nolint:gosec // not negative
			return
		}
	}
}
