package redislog

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
)

// handle is what [Log] and [Stream] have in common: the client, what the process knows, and what
// Close has to end.
type handle struct {
	client redis.UniversalClient
	node   func(context.Context) (*redis.Client, error) // the master that has the key
	stream string                                       // key of the stream

	track    tracker
	live     *live
	ownsLive bool // Close ends it
	look     func(context.Context, *redis.Client) (last string, err error)

	ctx        context.Context // ended by Close
	cancel     context.CancelFunc
	background sync.WaitGroup // the senders of appends
	closing    sync.Mutex     // held to add to background or to cancel
}

// init prepares the handle; look is what the live side does to tell the tracker
// what the server has, it returns the id of the last entry. A live side of its
// own is made if none is given.
func (h *handle) init(client redis.UniversalClient, stream string, shared *live, look func(context.Context, *redis.Client) (string, error)) error {
	h.client, h.stream = client, stream
	var err error
	if h.node, err = nodeOf(client, stream); err != nil {
		return err
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.live, h.look = shared, look
	if shared == nil {
		h.live, h.ownsLive = &live{node: h.node}, true
	}
	return nil
}

// end ends what the handle has begun, but for the senders.
func (h *handle) end() {
	h.closing.Lock()
	h.cancel()
	h.closing.Unlock()
	h.track.close()
	h.live.drop(h)
	if h.ownsLive {
		h.live.close()
	}
}

// nodeOf returns how to reach the master that has the key. A client that
// spreads keys over unrelated servers by itself has no such answer.
func nodeOf(client redis.UniversalClient, key string) (func(context.Context) (*redis.Client, error), error) {
	switch c := client.(type) {
	case interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}:
		return func(ctx context.Context) (*redis.Client, error) { return c.MasterForKey(ctx, key) }, nil
	case *redis.Client:
		return func(context.Context) (*redis.Client, error) { return c, nil }, nil
	}
	return nil, fmt.Errorf("a %T cannot carry a log: pass a *redis.Client or a *redis.ClusterClient", client)
}

// spawn starts a goroutine that Close waits for, unless the handle was closed.
func (h *handle) spawn(f func()) bool {
	h.closing.Lock()
	defer h.closing.Unlock()
	if h.isClosed() {
		return false
	}
	h.background.Go(f)
	return true
}

func (h *handle) isClosed() bool { return h.ctx.Err() != nil }

// call runs f for one exported method of what can be closed: it returns when f
// or ctx ends, and wraps the error.
func call[T any](ctx context.Context, owner interface{ isClosed() bool }, what string, f func(context.Context) (T, error)) (T, error) {
	value, err := await(ctx, func(ctx context.Context) (T, error) {
		if owner.isClosed() {
			var zero T
			return zero, cdc.ErrClosed
		}
		return f(ctx)
	})
	if err != nil {
		return value, fmt.Errorf("redis: %s: %w", what, explain(err))
	}
	return value, nil
}

// await returns what f does, or the cause of ctx as soon as that ends: the
// client does not interrupt a command. f then ends by the client's own
// timeouts, and nobody waits for it.
func await[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	if ctx.Done() == nil {
		return f(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f(ctx)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}
