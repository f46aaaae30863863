package sse_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/conformance/ssetest"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

func TestConformance(t *testing.T) {
	const heartbeat = 100 * time.Millisecond
	writeTimeout := 2 * time.Second
	if compressing() {
		writeTimeout = 0 // the proxy has none: TestStuckClientIsCut has one of gzip
	}
	ssetest.Run(t, ssetest.Harness{
		Log: conformance.Harness{Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return memlog.New(nil), nil
		}},
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return served(log, &sse.Options{Heartbeat: heartbeat, Timeouts: sse.Timeouts{Write: writeTimeout}})
		},
		Encoded: func(_ context.Context, log cdc.Log, encode ssetest.Encode) (http.Handler, error) {
			return served(log, &sse.Options{Encoder: sse.EncoderFunc(encode)})
		},
		Heartbeat: heartbeat, WriteTimeout: writeTimeout,
	})
}

// served is the handler as the clients of the suite see it, who take no gzip.
func served(log cdc.Log, opts *sse.Options) (http.Handler, error) {
	h, err := newHandler(log, opts)
	if err != nil || !compressing() {
		return h, err
	}
	return unzipped(h)
}
