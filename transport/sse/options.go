package sse

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Options of a [Handler]; nil means the defaults. A negative value is an error
// of [NewHandler], but for Timeouts.Write.
type Options struct {
	// Start is where a client begins that names no cursor. The zero value is
	// [cdc.Latest].
	Start cdc.Start

	// Authorize decides who may follow what; it runs before anything is
	// written. An [*AccessError] is answered with its status, any other error
	// with 403 and without its text. The zero Grant allows nothing. nil lets
	// everyone follow everything.
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

	// Retry is the mean time after which clients reconnect; each is told
	// between half and one and a half of it. 0 means 3 s. Where the server
	// cannot serve (overload, the log is down) it is doubled.
	Retry time.Duration

	// Timeouts, Limits and Replay are groups, whose fields say their defaults.
	Timeouts Timeouts
	Limits   Limits
	Replay   Replay

	// Pages are how old events are given to caches. The zero value keeps them
	// to the cache of one browser.
	Pages Pages

	// Hub are the options of the Hub that the Handler makes for a log that is
	// none; its OnError is that of the Handler if it is nil. Hub is refused
	// together with a log that is a Hub.
	Hub *cdc.HubOptions

	// OnError is told what a stream was ended or an event was re-encoded for,
	// beyond clients that leave: errors of the log, of Encoder and of
	// Authorize, and panics of the Observer. It is called concurrently and must
	// not block. nil means that nobody is told.
	OnError func(error)

	// Observer is told what the streams do. The zero value tells nobody.
	Observer Observer
}

// Timeouts of each stream.
type Timeouts struct {
	// Start is how long the log may take to say where a stream starts before
	// the client is told to reconnect. 0 means 15 s.
	Start time.Duration

	// Write is how long a client may take for each piece of at most 64 KB
	// before its stream is ended. 0 means 30 s. Negative means for ever,
	// whatever the http.Server has as WriteTimeout: a client that does not read
	// then holds a goroutine until TCP gives up.
	Write time.Duration
}

// Limits of what a Handler holds.
type Limits struct {
	// Streams is how many streams are served at once; further clients are told
	// to reconnect later. 0 means no limit.
	Streams int

	// Age ends a stream after between 80 % and all of it, so that clients
	// spread over the servers again. The client is told to reconnect and loses
	// nothing. 0 means never.
	Age time.Duration

	// FrameBytes bounds the memory for encoded frames that streams share, and
	// for what Compress makes of them. 0 means 4 MiB.
	FrameBytes int

	// Compress sends streams as gzip to clients that accept it. Frames are
	// compressed once for all of them, so a client costs no memory for it. Pages
	// are sent as they are, and so is what a middleware has given a
	// Content-Encoding or Vary: Accept-Encoding. What is secret must not be in one frame with what an
	// attacker can choose, or its size tells: see docs/security-sse.md.
	Compress bool

	// Park lets a stream over HTTP/1.1 without TLS keep no goroutine and no
	// buffer while nothing is sent on it, which makes an idle stream cost a few
	// KB; what is sent stays the same. The Handler takes over the connection and
	// returns from ServeHTTP when the stream begins. So:
	//   - Close must be called before [http.Server.Shutdown], which does not
	//     know of these streams any more, nor does [http.Server.Close];
	//   - a middleware sees the request end when its stream begins: one that
	//     counts or logs requests, or limits them, does it too early;
	//   - a panic of the log is an error that OnError is told.
	// A stream is served as without Park over TLS, HTTP/1.0 and HTTP/2, with
	// ?limit=, where a middleware wraps the [http.ResponseWriter] or gives the
	// request a deadline: [Status].Unparkable counts them.
	Park bool
}

// Replay is how streams read history.
type Replay struct {
	// Max is how far below the head, in seqs, a stream may start; one that
	// starts further down is reset with [cdc.ReasonTooFar]. 0 means any.
	Max uint64

	// ResetTo is where a stream goes on after a reset. The zero value is the
	// head. [cdc.ResetToFloor] together with Max is refused.
	ResetTo cdc.ResetTo

	// PageSize is how many events are read at once. 0 means 512.
	PageSize int
}

// setDefault replaces a zero value.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	setDefault(&opts.Heartbeat, 15*time.Second)
	setDefault(&opts.Retry, 3*time.Second)
	setDefault(&opts.Timeouts.Start, 15*time.Second)
	setDefault(&opts.Timeouts.Write, 30*time.Second)
	setDefault(&opts.Limits.FrameBytes, 4<<20)
	setDefault(&opts.Replay.PageSize, 512)
	setDefault(&opts.Pages.Size, 512)
	setDefault(&opts.Pages.MaxAge, 365*24*time.Hour)
	if opts.Encoder == nil && !opts.Compat {
		opts.Encoder = Envelope
	}
	return opts
}

// check is called with the defaults filled in.
func (o *Options) check(log cdc.Log) error {
	_, isHub := log.(*cdc.Hub)
	switch {
	case log == nil:
		return errors.New("sse: the log is nil")
	case isHub && o.Hub != nil:
		return errors.New("sse: Options.Hub is set but the log is a Hub already: give its options to cdc.NewHub")
	case o.Compat && (o.Encoder != nil || o.EventName != nil):
		return errors.New("sse: Options.Compat has its own envelope and event names: leave Encoder and EventName nil")
	}
	if err := o.checkNumbers(); err != nil {
		return err
	}
	if err := o.Pages.check(o.Authorize != nil); err != nil {
		return err
	}
	if err := o.CORS.check(); err != nil {
		return err
	}
	if encoder, ok := o.Encoder.(interface{ check() error }); ok { // one of ours
		if err := encoder.check(); err != nil {
			return fmt.Errorf("sse: Options.Encoder: %w", err)
		}
	}
	if _, err := cdc.ParseStart(o.Start.String()); err != nil {
		return fmt.Errorf("sse: Options.Start: %w", err)
	}
	if err := o.follow(cdc.Filter{}, o.Heartbeat).Check(); err != nil {
		return fmt.Errorf("sse: Options.Replay: %w", err)
	}
	return nil
}

func (o *Options) checkNumbers() error {
	for _, field := range []struct {
		name     string
		negative bool
	}{
		{"Heartbeat", o.Heartbeat < 0},
		{"Retry", o.Retry < 0},
		{"Timeouts.Start", o.Timeouts.Start < 0},
		{"Limits.Streams", o.Limits.Streams < 0},
		{"Limits.Age", o.Limits.Age < 0},
		{"Limits.FrameBytes", o.Limits.FrameBytes < 0},
		{"Replay.PageSize", o.Replay.PageSize < 0},
	} {
		if field.negative {
			return fmt.Errorf("sse: Options.%s is negative", field.name)
		}
	}
	return nil
}

func (c *CORS) check() error {
	switch {
	case c == nil:
		return nil
	case len(c.Origins) == 0:
		return errors.New("sse: CORS.Origins is empty: list the origins, or leave Options.CORS nil")
	case c.Credentials && slices.Contains(c.Origins, "*"):
		return errors.New("sse: CORS.Credentials with the origin * would let every page act for its visitor: list the origins")
	}
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("sse: CORS.Origins has %q: want * or a scheme and a host, such as https://app.example.com", origin)
		}
	}
	for _, name := range c.Headers {
		if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || name == "" {
			return fmt.Errorf("sse: CORS.Headers has %q: want the name of a header, such as traceparent", name)
		}
	}
	return nil
}

// follow are the options for one stream.
func (o *Options) follow(f cdc.Filter, heartbeat time.Duration) *cdc.FollowOptions {
	return &cdc.FollowOptions{
		Filter: f, Heartbeat: heartbeat,
		PageSize: o.Replay.PageSize, MaxReplay: o.Replay.Max, ResetTo: o.Replay.ResetTo,
	}
}
