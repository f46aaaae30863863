package remote_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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

func openWithOrigin(context.Context, conformance.Place) (cdc.Log, error) {
	origin := memlog.New(nil)
	handler, err := sse.NewHandler(origin, &sse.Options{Retry: 10 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(handler)
	log, err := remote.Open(server.URL, &remote.Options{Client: &http.Client{Transport: &http.Transport{}}})
	return &logOfOrigin{Log: log, origin: origin, handler: handler, server: server}, err
}

func (l *logOfOrigin) Close() error {
	err := errors.Join(l.Log.Close(), l.handler.Close())
	l.server.CloseClientConnections()
	l.server.Close()
	return err
}

// TestConformance runs the suite over a log behind a handler.
func TestConformance(t *testing.T) {
	of := func(log cdc.Log) *memlog.Log { return log.(*logOfOrigin).origin }
	conformance.Run(t, conformance.Harness{
		Open: openWithOrigin,
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
