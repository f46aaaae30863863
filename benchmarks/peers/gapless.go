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
}

// Server keeps the newest events for clients that come back. One goroutine may
// call its functions at a time.
type Server struct {
	http.Handler
	Path    string // that a client asks for
	Publish func(data ...[]byte) error
	Trim    func() error                        // nil where Publish does it
	Again   func(seen []byte) (path, id string) // nil means by Last-Event-ID
	Told    func(got []byte) (missed bool)      // nil where nothing can tell
	Close   func()
}

// The libraries, some with more than one setting.
var (
	Bare            = Library{"bare", func(_ string, keep int) (*Server, error) { return openBare(keep, false), nil }}
	BareEach        = Library{"bare-flush-each", func(_ string, keep int) (*Server, error) { return openBare(keep, true), nil }}
	Gapless         = Library{"gapless", func(_ string, keep int) (*Server, error) { return openGapless(memlog.New(nil), keep, sse.Payload) }}
	GaplessEnvelope = Library{"gapless-envelope", func(_ string, keep int) (*Server, error) { return openGapless(memlog.New(nil), keep, sse.Envelope) }}
	GaplessBolt     = Library{"gapless-bolt", openBolt}
	GoSSE           = Library{"go-sse", openGoSSE}
	GoSSEValid      = Library{"go-sse-valid", openGoSSEValid}
	R3labs          = Library{"r3labs", openR3labs}
	LaunchDarkly    = Library{"launchdarkly", openLaunchDarkly}
	Centrifuge      = Library{"centrifuge", func(_ string, keep int) (*Server, error) { return openCentrifuge(keep, 0) }}
	CentrifugeQueue = Library{"centrifuge-queue-64MiB", func(_ string, keep int) (*Server, error) { return openCentrifuge(keep, 64<<20) }}
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
