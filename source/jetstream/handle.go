package jetstreamlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/backoff"
)

// handle is what [Log] and [Stream] have in common.
type handle struct {
	js      jetstream.JetStream
	conn    *nats.Conn
	name    string
	prefix  string        // of the subjects of the API
	timeout time.Duration // of a question and all its repetitions

	epochOf       func(*jetstream.StreamInfo) (string, error)
	eventOf       func(*nats.Msg) (cdc.Event, error) // Seq and Time are set afterwards
	ignoreDeleted bool
	renews        bool          // a stream that went back gets another epoch: it is a log's
	updating      chan struct{} // has one while the epoch is changed

	live   *cdc.Polled
	ctx    context.Context // ended by Close
	cancel context.CancelFunc

	mu     sync.Mutex
	newest cdc.Bounds // the highest that the server has answered or acknowledged
	marks  marks      // of a log only

	hearing sync.Mutex         // held while the server is asked for announcements
	wakeups *nats.Subscription // to them; nil before the first Subscribe
}

func (h *handle) init(js jetstream.JetStream, name string, poll cdc.PollOptions) error {
	o := js.Options()
	h.js, h.conn, h.name, h.timeout = js, js.Conn(), name, o.DefaultTimeout
	h.updating = make(chan struct{}, 1)
	switch {
	case o.Domain != "":
		h.prefix = "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		h.prefix = strings.TrimSuffix(o.APIPrefix, ".") + "."
	default:
		h.prefix = jetstream.DefaultAPIPrefix
	}
	if h.timeout <= 0 {
		h.timeout = 5 * time.Second
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	var err error
	h.live, err = cdc.Poll(source{h}, &poll)
	return err
}

// Close ends every subscription and every call that is waiting with
// [cdc.ErrClosed]. It leaves the connection open, and is idempotent.
func (h *handle) Close() error {
	h.cancel()
	h.hearing.Lock()
	defer h.hearing.Unlock()
	if h.wakeups != nil {
		_ = h.wakeups.Unsubscribe() // fails only on a closed connection
		h.wakeups = nil
	}
	return h.live.Close()
}

// call runs f for one exported method and wraps its error. It ends with ctx and
// with Close.
func call[T any](ctx context.Context, h *handle, what string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.ctx, func() { cancel(cdc.ErrClosed) })() //nolint:contextcheck // it is that of Close
	var value T
	err := context.Cause(ctx)
	if h.ctx.Err() != nil {
		err = cdc.ErrClosed
	}
	if err == nil {
		value, err = f(ctx)
		if err != nil && ctx.Err() != nil && !errors.Is(err, cdc.ErrUnknownOutcome) {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return value, fmt.Errorf("jetstream: %s: %w", what, explain(err))
	}
	return value, nil
}

// ask is call for what can be asked again.
func ask[T any](ctx context.Context, h *handle, what string, f func(context.Context) (T, error)) (T, error) {
	return call(ctx, h, what, func(ctx context.Context) (T, error) { return retry(ctx, h.timeout, f) })
}

// api asks the server's API and fills in the answer.
func (h *handle) api(ctx context.Context, subject string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	reply, err := h.conn.RequestWithContext(ctx, h.prefix+subject+"."+h.name, body)
	if err != nil {
		return err
	}
	return unmarshal(reply.Data, answer)
}

// unmarshal returns the error that the server has answered, if it is one.
func unmarshal(data []byte, answer any) error {
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("the server answered %.140q: %w", data, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(data, answer)
}

// info asks the stream's leader.
func (h *handle) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := h.js.Stream(ctx, h.name)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// unanswered says that the stream was deleted if that is why nobody answers.
func (h *handle) unanswered(ctx context.Context, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		if _, why := h.info(ctx); errors.Is(why, jetstream.ErrStreamNotFound) {
			return why
		}
	}
	return err
}

func newBackoff() backoff.Backoff {
	return backoff.Backoff{Min: 2 * time.Millisecond, Max: 200 * time.Millisecond}
}
