// Package peers has other ways to serve events, in the settings in which a client
// can resume, beside ours and the limit: a bare handler of net/http that writes
// frames which are ready. Benchmarks compare them.
package peers

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// WriteTimeout is what a client that does not read gets from our handler. It
// is a second because that of centrifuge is and cannot be set.
const WriteTimeout = time.Second

// Library is one way to serve events.
type Library struct {
	Name string

	// Open opens a server that keeps the newest events, as many as keep says,
	// in the folder if it needs one.
	Open func(dir string, keep int) (*Server, error)

	// Program is what serves it by a control.Server, and then Open is nil.
	Program string

	// Durable says that an event is on disk when Publish returns, which any
	// number of goroutines may call.
	Durable bool
}

// Server keeps the newest events for clients that come back. One goroutine may
// call its functions at a time, unless the library is durable.
type Server struct {
	http.Handler
	Path    string // that a client asks for
	History string // that a client asks for who wants all that is kept; empty: there is none
	Publish func(data ...[]byte) error
	Trim    func() error                        // nil where Publish does it
	Again   func(seen []byte) (path, id string) // nil means by Last-Event-ID
	Told    func(got []byte) (missed bool)      // nil where nothing can tell
	Close   func()
}

// The libraries, some with more than one setting.
var (
	Bare            = Library{Name: "bare", Open: func(_ string, keep int) (*Server, error) { return openBare(keep, false), nil }}
	BareEach        = Library{Name: "bare-flush-each", Open: func(_ string, keep int) (*Server, error) { return openBare(keep, true), nil }}
	Gapless         = Library{Name: "gapless", Open: func(_ string, keep int) (*Server, error) { return openGapless(memlog.New(nil), keep, sse.Payload) }}
	GaplessEnvelope = Library{Name: "gapless-envelope", Open: func(_ string, keep int) (*Server, error) { return openGapless(memlog.New(nil), keep, sse.Envelope) }}
	GaplessBolt     = Library{Name: "gapless-bolt", Open: openBolt, Durable: true}
	GoSSE           = Library{Name: "go-sse", Open: openGoSSE}
	GoSSEValid      = Library{Name: "go-sse-valid", Open: openGoSSEValid}
	R3labs          = Library{Name: "r3labs", Open: openR3labs}
	LaunchDarkly    = Library{Name: "launchdarkly", Open: openLaunchDarkly}
	Centrifuge      = Library{Name: "centrifuge", Open: func(_ string, keep int) (*Server, error) { return openCentrifuge(keep, 0) }}
	CentrifugeQueue = Library{Name: "centrifuge-queue-64MiB", Open: func(_ string, keep int) (*Server, error) { return openCentrifuge(keep, 64<<20) }}
)

func openBolt(dir string, keep int) (*Server, error) {
	log, err := boltlog.OpenFile(context.Background(), filepath.Join(dir, "log.db"), "events", nil)
	if err != nil {
		return nil, err
	}
	return openGapless(log, keep, sse.Payload)
}

func openGapless(log interface {
	cdc.Log
	cdc.Appender
	Close() error
}, keep int, encoder sse.Encoder,
) (*Server, error) {
	handler, err := sse.NewHandler(log, &sse.Options{Encoder: encoder, Replay: sse.Replay{ResetTo: cdc.ResetToFloor}, Timeouts: sse.Timeouts{Write: WriteTimeout}})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &Server{
		Handler: handler,
		History: "?after=beginning",
		Publish: func(data ...[]byte) error {
			events := make([]cdc.Event, len(data))
			for i, d := range data {
				events[i].Data = d
			}
			_, err := log.Append(ctx, events...)
			return err
		},
		Trim: func() error {
			b, err := log.Bounds(ctx)
			if err == nil && b.Head > uint64(keep) {
				_, err = cdc.Trim(ctx, log, b.Head-uint64(keep))
			}
			return err
		},
		Told: func(got []byte) bool { return bytes.Contains(got, []byte("event: cdc.reset\n")) },
		Close: func() {
			_ = handler.Close()
			_ = log.Close()
		},
	}, nil
}
