package openapi_test

import (
	"fmt"
	"net/http"

	"github.com/gapless-go/gapless/transport/sse/openapi"
)

// The document of an endpoint, beside it.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("GET /openapi.json", openapi.Handler(&openapi.Options{Path: "/events", Tickets: true}))
}

// The endpoint in the document that an application has.
func ExampleMount() {
	own := openapi.Object{
		"openapi": "3.1.0",
		"info":    openapi.Object{"title": "Shop", "version": "1"},
		"paths":   openapi.Object{"/orders": openapi.Object{}},
		"components": openapi.Object{"schemas": openapi.Object{
			"Order": openapi.Object{"type": "object", "properties": openapi.Object{"total": openapi.Object{"type": "integer"}}},
		}},
	}
	err := openapi.Mount(own, &openapi.Options{
		Path: "/orders/events",
		Data: openapi.Object{"$ref": "#/components/schemas/Order"},
	})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"/orders", "/orders/events"} {
		_, ok := own["paths"].(openapi.Object)[path]
		fmt.Println(path, ok)
	}
	// Output:
	// /orders true
	// /orders/events true
}
