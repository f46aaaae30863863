package jetstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	jetstreamlog "github.com/gapless-go/gapless/source/jetstream"
)

// newJS returns a client of the servers that ends with the test.
func newJS(t testing.TB, nodes ...*node) jetstream.JetStream {
	t.Helper()
	var urls []string
	for _, n := range nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.opts.Port))
	}
	nc, js, err := connect(strings.Join(urls, ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return js
}

// openLog returns a log over a connection of its own that ends with the test.
func openLog(t testing.TB, n *node, name string) *jetstreamlog.Log {
	t.Helper()
	return open(t, newJS(t, n), name, nil)
}

func open(t testing.TB, js jetstream.JetStream, name string, opts *jetstreamlog.Options) *jetstreamlog.Log {
	t.Helper()
	log, err := jetstreamlog.Open(t.Context(), js, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// appendN appends n events, one a call.
func appendN(t testing.TB, log *jetstreamlog.Log, n int) cdc.Receipt {
	t.Helper()
	var last cdc.Receipt
	for i := range n {
		r, err := log.Append(t.Context(), cdc.Event{Type: "n", Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		last = r
	}
	return last
}

func bounds(t testing.TB, log cdc.Source) cdc.Bounds {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
