package sse_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// A client gets the history of what it may see, and then what happens.
func ExampleNewHandler() {
	log := memlog.New(nil)
	defer log.Close()
	_, err := log.Append(context.Background(),
		cdc.Event{Topic: "user:7", Type: "greeting", Data: []byte(`"hello"`)},
		cdc.Event{Topic: "user:8", Type: "greeting", Data: []byte(`"not yours"`)})
	if err != nil {
		panic(err)
	}
	handler, err := sse.NewHandler(log, &sse.Options{
		Encoder: sse.Payload,
		Authorize: func(*http.Request) (sse.Grant, error) {
			return sse.Grant{Scope: sse.Topics("user:7")}, nil // by a cookie or a token
		},
	})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	defer func() { _ = handler.Close() }() // ends the streams, or server.Close waits for them

	// limit ends the stream when it is live; without it, it goes on.
	response, err := http.Get(server.URL + "?after=beginning&limit=10")
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: ") || strings.HasPrefix(lines.Text(), `data: "`) {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// event: cdc.hello
	// data: "hello"
	// event: cdc.live
	// event: cdc.reconnect
}
