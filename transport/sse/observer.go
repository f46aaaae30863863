package sse

import (
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Observer has functions that a [Handler] calls when something happens to a
// stream: what metrics and logs are made of. One that is nil is not called. They
// are called concurrently, while a client waits, so they must be quick. Should
// one panic, [Options].OnError is told and the stream goes on.
type Observer struct {
	// StreamOpened is called for each stream that is admitted.
	StreamOpened func(StreamOpened)

	// StreamSent is called for each write of events to a client, never for
	// each event.
	StreamSent func(StreamSent)

	// StreamEnded is called for the end of each stream that was opened, and
	// for each that was turned away.
	StreamEnded func(StreamEnded)
}

// StreamOpened is a stream that was admitted.
type StreamOpened struct {
	Remote string    // address of the client or of the proxy before it
	Start  cdc.Start // as the client asked for it
	Filter cdc.Filter
}

// StreamSent is one write of events to one client.
type StreamSent struct {
	Events int
	Bytes  int // as they were compressed
	State  cdc.State

	// Delay is the time from [cdc.Event.Time] of the newest of the events to
	// the end of the write. It is as right as the clocks of the two agree.
	Delay time.Duration
}

// StreamEnded is a stream that has ended or was turned away.
type StreamEnded struct {
	Reason   EndReason
	Admitted bool       // false: it was turned away, and StreamOpened was not called
	Remote   string     // address of the client or of the proxy before it
	Cursor   cdc.Cursor // everything up to here was sent or did not match
	Events   uint64     // sent
	Bytes    uint64     // sent, control frames included, as they were compressed
	Age      time.Duration
}

// Report counts an error of the application and tells Options.OnError, as if the
// Handler had met it: its Status has it, and so a status page. It is for what
// works on the log beside the Handler, as the OnError of [cdc.RetainOptions] or
// of a Hub of the application's own.
func (h *Handler) Report(err error) { h.report(err) }

// report passes an error to the application.
func (h *Handler) report(err error) {
	h.counts.failed(err)
	if h.opts.OnError == nil {
		return
	}
	if failure := catch("Options.OnError", func() { h.opts.OnError(err) }); failure != nil {
		h.counts.failed(failure) // there is nobody else to tell
	}
}

// observe calls a function of the Observer. A stream is not ended, and its
// place not kept, because of what watches it.
func observe[T any](h *Handler, name string, call func(T), what T) {
	if call == nil {
		return
	}
	if err := catch(name, func() { call(what) }); err != nil {
		h.report(err)
	}
}

// catch returns a panic of the application's function as an error.
func catch(name string, call func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sse: %s: panic: %v", name, p)
		}
	}()
	call()
	return nil
}
