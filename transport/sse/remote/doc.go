// Package remote makes a [cdc.Log] of the event stream that another process
// serves with package sse: read over HTTP, with the cursors of the origin.
//
//	origin, err := remote.Open("https://origin.example.com/events", nil)
//	handler, err := sse.NewHandler(origin, nil)
//
// A process at the edge so serves thousands of clients with one stream from
// the origin, and a service follows the log of another one.
//
// # What is sent
//
// Every request is a GET of the address. Bounds is one with ?bounds=only,
// answered with JSON, since some hops turn HEAD into GET or refuse it. Streams
// are asked for with ?data=exact and where to start: Read follows one until the
// page is full or the stream is live. Subscribe follows one from the latest event
// on and opens it again whenever it breaks. With Options.Pages, Read takes what
// is old from pages that a cache may have; the server says which those are.
// Every event is checked against the tag in its id, so a hop that changes events
// is an error. The handler must have the default encoding.
package remote
