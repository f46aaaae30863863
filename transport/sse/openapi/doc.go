// Package openapi describes an endpoint of [sse.Handler] in OpenAPI 3.1, and
// its messages in AsyncAPI 3.1: as documents to serve, and as parts to put into
// the document of an application.
//
//	mux.Handle("GET /openapi.json", openapi.Handler(&openapi.Options{Path: "/events"}))
//
// A document is maps, slices and texts that encoding/json writes.
//
// [sse.Handler]: https://pkg.go.dev/github.com/gapless-go/gapless/transport/sse#Handler
package openapi
