package remote_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// logOfOrigin is a remote log with its origin.
type logOfOrigin struct {
	*remote.Log
	origin  *memlog.Log
	handler *sse.Handler
	server  *httptest.Server
}

// openWithOrigin opens a log that reads from pages of that size; 0 is none.
func openWithOrigin(pageSize int) (cdc.Log, error) {
	origin := memlog.New(nil)
	opts := &sse.Options{Retry: 10 * time.Millisecond, Pages: sse.Pages{Size: pageSize}}
	opts.Limits.Park = os.Getenv("GAPLESS_SSE_PARK") != ""
	handler, err := sse.NewHandler(origin, opts)
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(handler)
	log, err := remote.Open(server.URL, &remote.Options{Client: &http.Client{Transport: &http.Transport{}}, Pages: min(pageSize, 1)})
	return &logOfOrigin{Log: log, origin: origin, handler: handler, server: server}, err
}

func (l *logOfOrigin) Close() error {
	err := errors.Join(l.Log.Close(), l.handler.Close())
	l.server.CloseClientConnections()
	l.server.Close()
	return err
}

// TestConformance runs the suite over a log behind a handler.
func TestConformance(t *testing.T) { runSuite(t, 0) }

// TestConformanceWithPages runs it over one that reads all that it can from
// small pages.
func TestConformanceWithPages(t *testing.T) { runSuite(t, 3) }

func runSuite(t *testing.T, pageSize int) {
	t.Helper()
	t.Parallel() // most of the time is spent waiting
	of := func(log cdc.Log) *memlog.Log { return log.(*logOfOrigin).origin }
	conformance.Run(t, conformance.Harness{
		Open: func(_ context.Context, at conformance.Place) (cdc.Log, error) {
			if strings.HasPrefix(at.Case, "Reliable/Filtered") { // thousands of events, read many times
				return openWithOrigin(32 * pageSize)
			}
			return openWithOrigin(pageSize)
		},
		Append: func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
			return of(log).Append(ctx, events...)
		},
		Trim: func(ctx context.Context, log cdc.Log, seq uint64) (int, error) { return of(log).Trim(ctx, seq) },
		Renew: func(ctx context.Context, log cdc.Log) error {
			_, err := of(log).Renew(ctx)
			return err
		},
		Sever: func(_ context.Context, _ conformance.Place, log cdc.Log) (int, error) {
			r := log.(*logOfOrigin)
			open := r.handler.Status().Open
			r.server.CloseClientConnections()
			return open, nil
		},
	})
}
