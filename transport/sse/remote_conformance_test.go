package sse_test

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
)

// remoteLog is a Remote with the origin that it stands on.
type remoteLog struct {
	*sse.Remote
	origin  *memlog.Log
	handler *sse.Handler
	server  *httptest.Server
}

func openRemote(context.Context, conformance.Place) (cdc.Log, error) {
	origin := memlog.New(nil)
	handler, err := sse.NewHandler(origin, &sse.Options{Retry: 10 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(handler)
	remote, err := sse.NewRemote(server.URL, &sse.RemoteOptions{Client: &http.Client{Transport: &http.Transport{}}})
	return &remoteLog{Remote: remote, origin: origin, handler: handler, server: server}, err
}

func (l *remoteLog) Close() error {
	err := errors.Join(l.Remote.Close(), l.handler.Close())
	l.server.CloseClientConnections()
	l.server.Close()
	return err
}

// TestRemoteConformance runs the suite over a log behind a Handler.
func TestRemoteConformance(t *testing.T) {
	of := func(log cdc.Log) *memlog.Log { return log.(*remoteLog).origin }
	conformance.Run(t, conformance.Harness{
		Open: openRemote,
		Append: func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
			return of(log).Append(ctx, events...)
		},
		Trim: func(ctx context.Context, log cdc.Log, seq uint64) (int, error) { return of(log).Trim(ctx, seq) },
		Renew: func(ctx context.Context, log cdc.Log) error {
			_, err := of(log).Renew(ctx)
			return err
		},
		Sever: func(_ context.Context, _ conformance.Place, log cdc.Log) (int, error) {
			r := log.(*remoteLog)
			open := r.handler.Status().Open
			r.server.CloseClientConnections()
			return open, nil
		},
	})
}
