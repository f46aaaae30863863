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
	const heartbeat, writeTimeout = 100 * time.Millisecond, 2 * time.Second
	ssetest.Run(t, ssetest.Harness{
		Log: conformance.Harness{Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return memlog.New(nil), nil
		}},
		Handler: func(_ context.Context, log cdc.Log) (http.Handler, error) {
			return newHandler(log, &sse.Options{Heartbeat: heartbeat, Timeouts: sse.Timeouts{Write: writeTimeout}})
		},
		Encoded: func(_ context.Context, log cdc.Log, encode ssetest.Encode) (http.Handler, error) {
			return newHandler(log, &sse.Options{Encoder: sse.EncoderFunc(encode)})
		},
		Heartbeat: heartbeat, WriteTimeout: writeTimeout,
	})
}
