// Package sse serves a [cdc.Log] as server-sent events: history, then what
// happens, without a gap, to any number of clients, each resuming where it was.
//
//	handler, err := sse.NewHandler(log, nil)
//	server := &http.Server{Handler: handler}
//	server.RegisterOnShutdown(func() { _ = handler.Close() })
//
// # Frames
//
// Every frame with data has an id: the cursor to resume from. Events have no
// event: line, so a browser's onmessage gets all of them.
//
//	event: cdc.hello       {"log":"<epoch>","from":"<cursor>"}             first, with retry:
//	                       {"cursor":…,"topic":…,"type":…,"key":…,"time":…,"id":…,"data":…}
//	event: cdc.live        {}    caught up with the log
//	event: cdc.checkpoint  {}    the cursor moved, though nothing matched
//	event: cdc.reset       {"reason":…,"requested":…,"floor":…,"head":…}   reload your state
//	event: cdc.reconnect   {}    the stream ends here; with retry:, unless it is that of a page
//	:                            heartbeat
//
// After a reset the stream goes on, from the cursor that is the id of the
// reset. Events may have been skipped: the client reloads its state while
// later events follow, and stores the cursor when it has finished.
//
// # Requests
//
// A stream starts after the Last-Event-ID header if there is one, else after
// ?lastEventId= or ?Last-Event-ID=, which polyfills send, else where ?after=
// says (a cursor, a number, latest, beginning), else at Options.Start. The
// position wins over ?after= because a reconnecting EventSource repeats its URL.
// What cannot be parsed in ?after= is answered with 400; every other cursor that
// cannot be resumed is a reset, because a browser gives up for good on any
// status but 200. For the same reason a server that cannot serve now answers
// 200, cdc.reconnect, and the end.
//
// ?topic=, ?type= and ?key= filter: values of one are alternatives, all must
// match; a topic that ends in * is a prefix. A cursor speaks for the filter
// that it was made with. ?heartbeat=event sends checkpoints for heartbeats.
// ?limit= ends the stream after so many events or when it is live, for readers
// of pages; ?bounds=only is answered with the bounds of the log as JSON.
//
// ?logpages=N ends the stream where N or more pages of old events lie before the
// client: the cdc.reconnect says {"pages":{"size":…,"to":…}}. One is asked for
// by ?logpage=EPOCH.FROM-TO, and caches may keep it: the events with FROM < seq ≤
// TO between a hello and a reconnect that says {"events":N}. See [Pages].
//
// A name that is almost one of these (?Topic=, ?topics=) is answered with 400; other
// parameters are the application's.
//
// # Clients
//
// Each client is a position in the log: a slow one slows only itself, and
// costs no queue. A browser has six connections for one server on HTTP/1.1:
// share one stream between tabs, or use HTTP/2.
//
// docs/sse.md in the repository is what to know before going live: middleware,
// proxies, who may read what; docs/clients.md is about clients.
package sse
