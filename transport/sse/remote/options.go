package remote

import (
	"errors"
	"net/http"
	"time"
)

// Options of [Open]; nil means the defaults. A negative value is an error.
type Options struct {
	// Client makes the requests. One with a Timeout is refused, because that
	// would end streams. nil means [http.DefaultClient].
	Client *http.Client

	// Prepare is called with each request before it is sent, to add a token or
	// a filter (?topic=, ?type=, ?key=, always the same). Its error is that of
	// the call. nil means that nothing is added.
	Prepare func(*http.Request) error

	// Silence is how long a stream may be silent before it is opened anew: a
	// dead connection reports nothing. It must be longer than the heartbeat of
	// the server. 0 means 45 s, three heartbeats.
	Silence time.Duration

	// Buffer is how many events a subscription holds before it lags. 0 means
	// 1024.
	Buffer int

	// Pages makes Read take old events from pages, which a cache between the two
	// may have, where the reader is at least so many whole pages behind. The
	// server says where the pages are. One that does not come whole is told to
	// OnError, and its events are read from the stream. 0 means that no page is
	// asked for, which is best where there is no cache.
	Pages int

	// OnError gets each failure that a subscription, Follow or a read of pages
	// recovers from. It is called concurrently and must not block. nil means
	// that nobody is told.
	OnError func(error)
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Client == nil {
		opts.Client = http.DefaultClient
	}
	if opts.Silence == 0 {
		opts.Silence = 45 * time.Second
	}
	if opts.Buffer == 0 {
		opts.Buffer = 1024
	}
	if opts.OnError == nil {
		opts.OnError = func(error) {}
	}
	switch {
	case opts.Client.Timeout != 0:
		return opts, errors.New("remote: Options.Client has a Timeout, which would end streams: set Transport.ResponseHeaderTimeout instead")
	case opts.Silence < 0:
		return opts, errors.New("remote: Options.Silence is negative")
	case opts.Pages < 0:
		return opts, errors.New("remote: Options.Pages is negative")
	case opts.Buffer < 0:
		return opts, errors.New("remote: Options.Buffer is negative")
	}
	return opts, nil
}
