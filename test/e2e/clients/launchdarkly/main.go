// Command launchdarkly follows a stream with github.com/launchdarkly/eventsource.
package main

import (
	"context"
	"net/http"

	"github.com/launchdarkly/eventsource"

	"github.com/gapless-go/gapless/test/e2e/clients/report"
)

func main() { report.Run(follow) }

// client waits for a head no longer than for what follows it: the read timeout of
// the library begins with the body.
func client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = report.ReadTimeout()
	return &http.Client{Transport: transport}
}

func follow(ctx context.Context, url, last string, message func(event, id, data string)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	stream, err := eventsource.SubscribeWithRequestAndOptions(req,
		eventsource.StreamOptionHTTPClient(client()),
		eventsource.StreamOptionLastEventID(last),
		eventsource.StreamOptionReadTimeout(report.ReadTimeout()),
		eventsource.StreamOptionCanRetryFirstConnection(-1),
		// Without a handler the Errors channel must be read.
		eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
			return eventsource.StreamErrorHandlerResult{CloseNow: ctx.Err() != nil}
		}))
	if err != nil {
		return
	}
	for e := range stream.Events {
		message(e.Event(), e.Id(), e.Data())
	}
}
