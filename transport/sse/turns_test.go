package sse_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// Streams have their turns by a few goroutines. Clients that do not read hold
// these up, and must not hold up a client whose turn comes after theirs.
func TestClientsThatDoNotReadHoldUpNobody(t *testing.T) {
	s := serve(t, nil, &sse.Options{Timeouts: sse.Timeouts{Write: time.Minute}})
	f := s.follow(t, "") // turns begin with the newest stream
	f.want("cdc.hello")
	f.want("cdc.live")
	const stuck = 150
	for range stuck {
		conn, _ := stuckClient(t, s)
		defer func() { _ = conn.Close() }()
	}
	awaitStatus(t, s.handler, "all streams", func(st sse.Status) bool { return st.Open == stuck+1 })
	payload := `"` + strings.Repeat("x", 200_000) + `"`
	for range 30 {
		began := time.Now()
		appendData(t, s.log, payload)
		f.wantPayload(payload)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("an event came after %v", took)
		}
	}
}

// Goexit, by which a test fails in the encoder that it gave, ends the stream too.
func TestGoexitOfForeignCodeEndsTheStream(t *testing.T) {
	s := serve(t, nil, &sse.Options{Encoder: sse.EncoderFunc(func(dst []byte, _ cdc.Cursor, _ cdc.Event) ([]byte, error) {
		runtime.Goexit()
		return dst, nil
	})})
	f := s.follow(t, "")
	f.want("cdc.hello")
	f.want("cdc.live")
	appendData(t, s.log, `1`)
	awaitStatus(t, s.handler, "the end", func(st sse.Status) bool { return st.Open == 0 })
}
