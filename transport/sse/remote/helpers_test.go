package remote_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/leaktest"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// endpoint is a log behind a handler.
type endpoint struct {
	*httptest.Server
	handler *sse.Handler
}

func serve(t testing.TB, log cdc.Log, opts *sse.Options) *endpoint {
	t.Helper()
	handler, err := sse.NewHandler(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{Server: httptest.NewServer(handler), handler: handler}
	t.Cleanup(func() {
		_ = handler.Close()
		e.CloseClientConnections()
		e.Close()
	})
	return e
}

// serveNew serves a new log in memory.
func serveNew(t testing.TB, opts *sse.Options) (*endpoint, *memlog.Log) {
	t.Helper()
	log := memlog.New(nil)
	return serve(t, log, opts), log
}

func open(t testing.TB, address string, opts *remote.Options) *remote.Log {
	t.Helper()
	log, err := remote.Open(address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func appendData(t testing.TB, log *memlog.Log, data ...string) cdc.Receipt {
	t.Helper()
	events := make([]cdc.Event, len(data))
	for i, d := range data {
		events[i] = cdc.Event{Data: []byte(d)}
	}
	r, err := log.Append(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// errorLog collects what Options.OnError is told.
type errorLog struct {
	mu     sync.Mutex
	errors []error
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, err)
}

func (l *errorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.errors)
}
