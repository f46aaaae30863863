// Package sse compares our handler with the limit, a bare handler of net/http
// that writes frames which are ready, and with other libraries that serve
// server-sent events: go-sse, r3labs/sse, launchdarkly/eventsource and
// centrifuge. It has benchmarks and a test only.
//
//	go test -run '^$' -bench . -benchtime 5x .
//
// Each benchmark takes turns with the bare handler in one process, every turn
// with a server of its own, and reports medians, of what went wrong means: on a
// busy machine the figures of separate runs cannot be compared. One client
// reads from all, so its CPU time is part of every figure, that of the bare
// handler included. The libraries have what they need for a client to resume;
// where the defaults of one cannot do it, a setting that can is measured, too.
//
// Left out: mercure, a protocol with tokens and a store of its own more than a
// handler. What a server alone costs is measured by the command beside.
package sse
