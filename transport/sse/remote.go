package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// boundsHeader is how a HEAD request is answered.
const boundsHeader = "Gapless-Bounds"

func formatBounds(b cdc.Bounds) string {
	return fmt.Sprintf("%s %d %d %d", b.Epoch, b.Floor, b.Head, b.Last)
}

func parseBounds(text string) (b cdc.Bounds, err error) {
	if _, err = fmt.Sscanf(text, "%s %d %d %d", &b.Epoch, &b.Floor, &b.Head, &b.Last); err != nil || !cdc.ValidEpoch(b.Epoch) {
		return cdc.Bounds{}, fmt.Errorf("%s header %s: want epoch, floor, head and last: is it a Gapless endpoint of this version?", boundsHeader, printable(text))
	}
	return b, nil
}

// RemoteOptions of [NewRemote]; nil means the defaults.
type RemoteOptions struct {
	// Client makes the requests. It must have no Timeout, which would end
	// streams. nil means [http.DefaultClient].
	Client *http.Client

	// Prepare is called with each request before it is sent, to add a token or
	// a filter (?topic=, ?type=, ?key=, always the same). nil means nothing is
	// added.
	Prepare func(*http.Request) error

	// Silence is how long a stream may be silent before it is opened anew: a
	// dead connection tells nothing. It must be longer than the heartbeat of
	// the server. 0 means 45 s, three heartbeats.
	Silence time.Duration

	// Buffer is how many events a subscription holds before it lags. 0 means
	// 1024.
	Buffer int

	// OnError is told each failure that a subscription recovers from. It must
	// not block. nil means nobody is told.
	OnError func(error)
}

// Remote is the log behind another process's [Handler]: a [cdc.Log] to be given
// to [cdc.Follow] or to a Hub, so that a process at the edge serves thousands of
// clients with one stream from the origin. Cursors are those of the origin. Use
// [NewRemote] and Close.
//
// A subscription reconnects by itself, after the time that the server asked
// for or with a growing one, jittered. A status of 400 to 499 ends it, but 408
// and 429. The handler must have the default encoding.
type Remote struct {
	url  *url.URL
	opts RemoteOptions

	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	group  sync.WaitGroup // subscriptions

	mu     sync.Mutex
	closed bool
	paused *remoteStream // history that was not read to the end, for the next Read
}

var _ cdc.Log = (*Remote)(nil)

// StatusError is an answer that is no event stream.
type StatusError struct {
	Status int
	Detail string // the beginning of the body
}

// Error names status and detail.
func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d: %s", e.Status, e.Detail)
}

// final reports whether asking again is of no use.
func (e *StatusError) final() bool {
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
}

// NewRemote returns the log at the address of a Handler. It sends nothing yet.
func NewRemote(address string, opts *RemoteOptions) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("sse: remote: %s is no absolute URL", printable(address))
	}
	var o RemoteOptions
	if opts != nil {
		o = *opts
	}
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	if o.Silence <= 0 {
		o.Silence = 45 * time.Second
	}
	if o.Buffer <= 0 {
		o.Buffer = 1024
	}
	r := &Remote{url: u, opts: o}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close ends every subscription and returns when they have ended. It is
// idempotent.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.closed = true
	r.cancel()
	paused := r.paused
	r.paused = nil
	r.mu.Unlock()
	if paused != nil {
		paused.close()
	}
	r.group.Wait()
	return nil
}

// request sends a request; start is not used if lastEventID is set.
func (r *Remote) request(ctx context.Context, method string, start cdc.Start, lastEventID string) (*http.Response, error) {
	u := *r.url
	query := u.Query()
	query.Set("data", "exact")
	query.Set("after", start.String())
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	if r.opts.Prepare != nil {
		if err := r.opts.Prepare(request); err != nil {
			return nil, err
		}
	}
	response, err := r.opts.Client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		detail, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, &StatusError{Status: response.StatusCode, Detail: string(detail)}
	}
	return response, nil
}

// Bounds implements [cdc.Source] with a HEAD request.
func (r *Remote) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if r.ctx.Err() != nil {
		return cdc.Bounds{}, cdc.ErrClosed
	}
	response, err := r.request(ctx, http.MethodHead, cdc.Latest, "")
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("sse: remote: bounds: %w", err)
	}
	_ = response.Body.Close()
	b, err := parseBounds(response.Header.Get(boundsHeader))
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("sse: remote: bounds: %w", err)
	}
	return b, nil
}

// Read implements [cdc.Source]. A page that ended at its limit leaves the
// stream open for the next one; a HEAD request then makes sure that the log is
// still the same.
func (r *Remote) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if r.ctx.Err() != nil {
		return cdc.Page{}, cdc.ErrClosed
	}
	if ctx.Err() != nil {
		return cdc.Page{}, context.Cause(ctx)
	}
	if s := r.resume(after); s != nil {
		page, err := r.readFrom(ctx, s, after, limit)
		if err == nil && page.Next != after.Seq {
			// What was sent before may be of a log that is no more.
			b, err := r.Bounds(ctx)
			if err == nil {
				err = b.Check(after)
			}
			return page, err
		}
		if ctx.Err() != nil {
			return cdc.Page{}, context.Cause(ctx)
		}
		// It had nothing more, but the log may have.
	}
	s, err := r.open(ctx, cdc.After(after), "")
	if err != nil {
		if ctx.Err() != nil {
			return cdc.Page{}, context.Cause(ctx)
		}
		return cdc.Page{}, fmt.Errorf("sse: remote: read: %w", err)
	}
	return r.readFrom(ctx, s, after, limit)
}

// readFrom reads a page from the stream, and closes it or leaves it for the
// next Read.
func (r *Remote) readFrom(ctx context.Context, s *remoteStream, after cdc.Cursor, limit int) (cdc.Page, error) {
	stop := context.AfterFunc(ctx, s.cancel)
	page, more, err := s.page(after, max(limit, 1))
	if !stop() || err != nil || !more {
		s.close()
	} else {
		r.pause(s)
	}
	reset, isReset := errors.AsType[*cdc.ResetError](err)
	switch {
	case page.Next != after.Seq:
		return page, nil // a stream that broke has still brought this
	case ctx.Err() != nil:
		return cdc.Page{}, context.Cause(ctx)
	case isReset:
		return cdc.Page{}, reset
	case err != nil:
		return cdc.Page{}, fmt.Errorf("sse: remote: read: %w", err)
	}
	return page, nil
}

// resume takes the stream that an earlier Read left at that position.
func (r *Remote) resume(after cdc.Cursor) *remoteStream {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.paused
	if s == nil || s.at.Seq != after.Seq || s.at.Epoch != after.Epoch || after.Tag != "" && after.Tag != s.at.Tag {
		return nil
	}
	r.paused = nil
	s.pause.Stop()
	return s
}

// pauseTime is how long a stream waits for the next Read.
const pauseTime = 5 * time.Second

func (r *Remote) pause(s *remoteStream) {
	r.mu.Lock()
	other := r.paused
	r.paused = s
	s.pause = time.AfterFunc(pauseTime, func() { r.forget(s) })
	if r.closed {
		other, r.paused = s, nil
	}
	r.mu.Unlock()
	if other != nil {
		other.close()
	}
}

// forget closes a stream that no Read has taken up.
func (r *Remote) forget(s *remoteStream) {
	r.mu.Lock()
	if r.paused != s {
		r.mu.Unlock()
		return
	}
	r.paused = nil
	r.group.Add(1) // before Close waits: it would have taken the stream
	r.mu.Unlock()
	defer r.group.Done()
	s.close()
}

// wait sleeps for a random time around d, unless ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
