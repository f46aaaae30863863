package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// origin is the other service: who has the token may see the orders.
func origin(ctx context.Context) *sse.Handler {
	log := memlog.New(nil)
	handler, err := sse.NewHandler(log, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
		}
		return sse.Grant{Scope: sse.Topics("orders"), Meta: true}, nil // Meta: every remote needs it
	}})
	if err != nil {
		panic(err)
	}
	if _, err := log.Append(ctx, cdc.Event{Topic: "orders", Key: "1"}, cdc.Event{Topic: "users", Key: "ada"}, cdc.Event{Topic: "orders", Key: "2"}); err != nil {
		panic(err)
	}
	return handler
}

// A service follows the log of another one, with a token, and keeps its cursor.
func ExampleLog_Follow() {
	ctx := context.Background()
	handler := origin(ctx)
	defer handler.Close()
	server := httptest.NewServer(handler)
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	orders, err := remote.Open(server.URL, &remote.Options{
		Client:  &http.Client{Transport: transport},
		Prepare: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer secret"); return nil },
	})
	if err != nil {
		panic(err)
	}
	defer orders.Close()
	var saved cdc.Cursor // in a file or a table
	enough := errors.New("enough")
	err = orders.Follow(ctx, remote.Consumer{
		Start: cdc.Beginning(),
		Load:  func(context.Context) (cdc.Cursor, error) { return saved, nil },
		Handle: func(_ context.Context, events []cdc.Event) error {
			for _, e := range events {
				fmt.Println(e.Topic, e.Key)
			}
			return nil
		},
		Save: func(_ context.Context, c cdc.Cursor) error {
			if saved = c; c.Seq == 3 {
				return enough // a service goes on
			}
			return nil
		},
	})
	fmt.Println(errors.Is(err, enough))
	// Output:
	// orders 1
	// orders 2
	// true
}
