package jetstream_test

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/gapless-go/gapless/cdc"
)

// TestPagesBehindLargeEvents reads behind events that fill an answer of the server.
// The stream's leader is asked for no message: it would send one whole, in base64,
// and once more in an advisory, which took seconds under load.
func TestPagesBehindLargeEvents(t *testing.T) {
	js := newJS(t, startNode(t))
	log := open(t, js, "large", nil)
	const n = 4
	for range n {
		if _, err := log.Append(t.Context(), cdc.Event{Type: "large", Data: make([]byte, cdc.DefaultMaxEventBytes-len("large"))}); err != nil {
			t.Fatal(err)
		}
	}
	at := cdc.Cursor{Epoch: bounds(t, log).Epoch}
	var asked atomic.Int64
	if _, err := js.Conn().Subscribe("$JS.API.STREAM.MSG.GET.>", func(*nats.Msg) { asked.Add(1) }); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= n; seq++ {
		page, err := log.Read(t.Context(), at, 100)
		if err != nil || len(page.Events) != 1 || page.Next != seq {
			t.Fatalf("Read after %v: %d events up to %d, %v; want event %d", at, len(page.Events), page.Next, err, seq)
		}
		e := page.Events[0]
		at.Seq, at.Tag = e.Seq, e.Tag()
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the leader was asked for %d messages", n)
	}
}
