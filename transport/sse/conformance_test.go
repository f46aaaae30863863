package sse_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestConformance(t *testing.T) {
	const heartbeat, writeTimeout = 100 * time.Millisecond, 2 * time.Second
	conformance.RunSSE(t, conformance.SSEHarness{
		Log: conformance.Harness{Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return memlog.New(nil), nil
		}},
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return sse.NewHandler(log, &sse.Options{Heartbeat: heartbeat, WriteTimeout: writeTimeout})
		},
		Heartbeat: heartbeat, WriteTimeout: writeTimeout,
	})
}
