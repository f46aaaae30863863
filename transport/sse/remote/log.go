package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
)

// Log is the log behind the handler of another process. Use [Open] and Close.
//
// A subscription reconnects by itself, after the time that the server asked
// for or with a growing one, jittered. A status of 400 to 499 ends it, but 408
// and 429.
type Log struct {
	url  *url.URL
	opts Options

	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	group  sync.WaitGroup // subscriptions
	pages  pages

	mu     sync.Mutex
	closed bool
}

var _ cdc.Log = (*Log)(nil)

// Open returns the log at the absolute URL of a handler. It sends nothing yet.
func Open(address string, opts *Options) (*Log, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("remote: %s is no absolute URL", wire.Quote(address))
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{url: u, opts: o}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// String names the endpoint, without what may be secret in its URL.
func (l *Log) String() string { return "remote " + l.url.Scheme + "://" + l.url.Host + l.url.Path }

// Close ends every subscription and returns when they have ended. It is
// idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.cancel()
	l.mu.Unlock()
	l.group.Wait()
	return nil
}

// Bounds implements [cdc.Source]. It is a GET request, because there are caches
// that make one of a HEAD request, and servers that refuse that.
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if l.ctx.Err() != nil {
		return cdc.Bounds{}, cdc.ErrClosed
	}
	b, err := l.bounds(ctx)
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("remote: bounds: %w", err)
	}
	return b, nil
}

// maxBoundsBytes is the most that is read of an answer with bounds.
const maxBoundsBytes = 4096

func (l *Log) bounds(ctx context.Context) (cdc.Bounds, error) {
	response, err := l.request(ctx, url.Values{wire.BoundsParam: {wire.BoundsOnly}})
	if err != nil {
		return cdc.Bounds{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBoundsBytes)) // to its end: the connection is used again
	if err != nil {
		return cdc.Bounds{}, err
	}
	var d wire.BoundsData
	if err := json.Unmarshal(body, &d); err != nil || !cdc.ValidEpoch(d.Log) {
		return cdc.Bounds{}, fmt.Errorf("the answer is %s: want bounds: is it a Gapless endpoint of this version?", wire.Quote(string(body)))
	}
	return cdc.Bounds{Epoch: d.Log, Floor: d.Floor, Head: d.Head, Last: d.Last}, nil
}

// request sends a request with these parameters and returns the answer of
// status 200. Nothing depends on a header, which a proxy may drop.
func (l *Log) request(ctx context.Context, params url.Values) (*http.Response, error) {
	u := *l.url
	query := u.Query()
	maps.Copy(query, params)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream, application/json")
	if !params.Has(wire.PageParam) {
		request.Header.Set("Cache-Control", "no-cache") // what a cache on the way has is of another time
	}
	if l.opts.Prepare != nil {
		if err := l.opts.Prepare(request); err != nil {
			return nil, err
		}
	}
	response, err := l.opts.Client.Do(request)
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
