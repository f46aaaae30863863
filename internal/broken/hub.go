package broken

import (
	"context"
	"errors"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// Hub is a small hub: one subscription on the log wakes every follower, who
// read the log themselves.
type Hub struct {
	cdc.Log
	bug    Bug
	wake   cdc.Notifier
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	start  sync.Once

	mu     sync.Mutex
	bounds cdc.Bounds // HubBoundsCached
}

// NewHub returns a Hub with the bug.
func NewHub(log cdc.Log, bug Bug) *Hub {
	h := &Hub{Log: log, bug: bug}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if bug != HubLazy {
		h.start.Do(func() { h.group.Go(h.run) })
	}
	return h
}

func (h *Hub) run() {
	for h.ctx.Err() == nil {
		sub, err := h.Log.Subscribe(h.ctx)
		if errors.Is(err, cdc.ErrClosed) {
			h.wake.Close()
			return
		}
		if err != nil {
			continue
		}
		if h.bug != HubBreakNotReread {
			h.wake.Notify() // read what came before the subscription
		}
		h.session(sub)
		_ = sub.Close()
		if h.bug == HubBreakIsEnd {
			return
		}
	}
}

func (h *Hub) session(sub cdc.Subscription) {
	for {
		_, err := sub.Next(h.ctx)
		switch {
		case err == nil:
			h.wake.Notify()
		case errors.Is(err, cdc.ErrLagged):
			if h.bug != HubLagNotReread {
				h.wake.Notify()
			}
		default:
			return
		}
	}
}

// Subscribe implements [cdc.Subscriber].
func (h *Hub) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	return h.wake.Subscribe(ctx)
}

// Bounds implements [cdc.Source].
func (h *Hub) Bounds(ctx context.Context) (cdc.Bounds, error) {
	b, err := h.Log.Bounds(ctx)
	if h.bug != HubBoundsCached || err != nil {
		return b, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bounds.Epoch == "" {
		h.bounds = b
	}
	return h.bounds, nil
}

// Read implements [cdc.Source].
func (h *Hub) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	h.start.Do(func() { h.group.Go(h.run) })
	return h.Log.Read(ctx, after, limit)
}

// Close ends it.
func (h *Hub) Close() error {
	if h.bug == HubCloseDoesNothing {
		return nil
	}
	h.wake.Close()
	h.cancel()
	h.group.Wait()
	return nil
}
