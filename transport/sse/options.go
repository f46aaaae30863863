package sse

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Options of a [Handler]; nil means the defaults.
type Options struct {
	// Start is where a client begins that names no cursor. The zero value is
	// [cdc.Latest].
	Start cdc.Start

	// Authorize decides who may follow what; it runs before anything is
	// written. An [*AccessError] is answered with its status, any other error
	// with 403 and without its text. nil lets everyone follow everything.
	Authorize func(*http.Request) (Grant, error)

	// CORS lets pages of other origins read the streams. nil lets none.
	CORS *CORS

	// Encoder makes the data of an event's frame. It is called once for an
	// event, not once for a client, and must be safe for concurrent use. nil
	// means [Envelope].
	Encoder Encoder

	// EventName gives the name for the event: line of a frame; "" means none.
	// A name that is reserved (cdc.…, error, open) or cannot be written is left
	// out. nil means no frame of an event has a name, so that a browser's
	// onmessage gets all of them. Like Encoder it is called once for an event.
	EventName func(cdc.Event) string

	// Compat speaks the dialect of older clients: ids are bare numbers, the
	// data is {"seq","projectId","sessionId","type","payload","createdAt"}, the
	// event: line is the type, and cdc.reset is the only control frame. The
	// price: no epoch and no tag in the id, so a log that was replaced or
	// rewound is noticed only where the number is out of its bounds, and a
	// Latest start has no cursor before its first event. It excludes Encoder
	// and EventName.
	Compat bool

	// Heartbeat is the longest silence on a stream. Each stream uses between
	// 80 % and all of it, so that streams opened together do not beat together.
	// 0 means 15 s.
	Heartbeat time.Duration

	// WriteTimeout is how long a client may take for each piece of at most 64
	// KB before its stream is ended. 0 means 30 s. Negative means for ever: a
	// client that does not read then holds a goroutine until TCP gives up.
	WriteTimeout time.Duration

	// StartTimeout is how long the log may take to say where a stream starts
	// before the client is told to reconnect. 0 means 15 s.
	StartTimeout time.Duration

	// Retry is the mean time after which clients reconnect; each is told
	// between half and one and a half of it. 0 means 3 s. Where the server
	// cannot serve (overload, the log is down) it is doubled.
	Retry time.Duration

	// MaxStreams is how many streams are served at once; further clients are
	// told to reconnect later. 0 means no limit.
	MaxStreams int

	// MaxAge ends a stream after between 80 % and all of it, so that clients
	// spread over the servers again. The client is told to reconnect and loses
	// nothing. 0 means never.
	MaxAge time.Duration

	// DrainWindow is the time over which Drain spreads the ends of the streams,
	// so that the other servers do not get all clients at once. 0 means that
	// all end at once, and only the jitter of Retry spreads them.
	DrainWindow time.Duration

	// MaxReplay is how far below the head, in seqs, a stream may start; one
	// that starts further down is reset with [cdc.ReasonTooFar]. 0 means any.
	MaxReplay uint64

	// Resume is where a stream goes on after a reset. The zero value is the
	// head. [cdc.ResumeFloor] together with MaxReplay is refused.
	Resume cdc.Resume

	// PageSize is how many events of history are read at once. 0 means 512.
	PageSize int

	// FrameBytes bounds the memory for encoded frames that streams share. 0
	// means 4 MiB.
	FrameBytes int

	// Hub are the options of the Hub that the Handler makes for a log that is
	// none. It is refused together with a log that is a Hub.
	Hub *cdc.HubOptions

	// OnError is told what a stream was ended or an event was re-encoded for,
	// beyond clients that leave: errors of the log, of Encoder and of
	// Authorize. It is called by the streams, concurrently, and must not
	// block. nil means nobody is told.
	OnError func(error)

	// Logger gets the same at level Warn, and the beginning and end of each
	// stream at level Debug. nil means nothing is logged.
	Logger *slog.Logger

	// Observer is told what the streams do, and the Handler's own Hub. The
	// reasons of StreamEnded are the texts of [EndReason]. nil means nobody is
	// told.
	Observer cdc.Observer
}

// Grant is what a client is allowed.
type Grant struct {
	// Filter limits what the client can follow. The zero value is everything.
	Filter cdc.Filter

	// Expires ends the stream with cdc.reconnect, so that the client is
	// authorized anew. The zero value is never.
	Expires time.Time
}

// AccessError is how [Options.Authorize] refuses a client.
type AccessError struct {
	// Status is 400 to 599; anything else is taken for 403. A browser's
	// EventSource gives up for good on any of them, but 503: this is answered
	// as an overload is, with 200 and cdc.reconnect.
	Status int
	Detail string // for the client; may be empty
}

// Error names status and detail.
func (e *AccessError) Error() string {
	return fmt.Sprintf("sse: access refused with status %d: %s", e.Status, e.Detail)
}

func (o Options) withDefaults() Options {
	defaults := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	defaults(&o.Heartbeat, 15*time.Second)
	defaults(&o.WriteTimeout, 30*time.Second)
	defaults(&o.StartTimeout, 15*time.Second)
	defaults(&o.Retry, 3*time.Second)
	if o.FrameBytes == 0 {
		o.FrameBytes = 4 << 20
	}
	return o
}

// check is called with the defaults filled in.
func (o Options) check(log cdc.Log) error {
	_, isHub := log.(*cdc.Hub)
	switch {
	case log == nil:
		return errors.New("sse: the log is nil")
	case isHub && o.Hub != nil:
		return errors.New("sse: Options.Hub is set but the log is a Hub already: give its options to cdc.NewHub")
	case o.CORS != nil && o.CORS.Credentials && slices.Contains(o.CORS.Origins, "*"):
		return errors.New("sse: CORS.Credentials with the origin * would let every page act for its visitor: list the origins")
	case o.Compat && (o.Encoder != nil || o.EventName != nil):
		return errors.New("sse: Options.Compat has its own envelope and event names: leave Encoder and EventName nil")
	case min(o.Heartbeat, o.StartTimeout, o.Retry, o.MaxAge, o.DrainWindow) < 0, min(o.FrameBytes, o.MaxStreams) < 0:
		return errors.New("sse: of the durations and numbers in Options only WriteTimeout may be negative")
	}
	if _, err := cdc.ParseStart(string(o.Start)); err != nil {
		return fmt.Errorf("sse: Options.Start: %w", err)
	}
	if err := o.follow(cdc.Filter{}, o.Heartbeat).Check(); err != nil {
		return fmt.Errorf("sse: %w", err)
	}
	return nil
}

// follow are the options for one stream.
func (o Options) follow(f cdc.Filter, heartbeat time.Duration) *cdc.FollowOptions {
	return &cdc.FollowOptions{Filter: f, Heartbeat: heartbeat, PageSize: o.PageSize, MaxReplay: o.MaxReplay, Resume: o.Resume}
}
