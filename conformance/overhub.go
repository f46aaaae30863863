package conformance

import (
	"context"
	"errors"
	"io"

	"github.com/gapless-go/gapless/cdc"
)

// OverHub is the harness of a [cdc.Hub] on each log of h, so that the suite
// runs over the Hub too. nil options mean the defaults. Crash is left out: the
// process that is killed has no followers.
func OverHub(h Harness, opts *cdc.HubOptions) Harness {
	below := h
	h.Open, h.Second, h.Reopen = openOver(h.Open, opts), openOver(h.Second, opts), openOver(h.Reopen, opts)
	if below.Append != nil {
		h.Append = func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
			return below.Append(ctx, underHub(log), events...)
		}
	}
	if below.Trim != nil {
		h.Trim = func(ctx context.Context, log cdc.Log, seq uint64) (int, error) {
			return below.Trim(ctx, underHub(log), seq)
		}
	}
	if below.Renew != nil {
		h.Renew = func(ctx context.Context, log cdc.Log) error { return below.Renew(ctx, underHub(log)) }
	}
	if below.Begin != nil {
		h.Begin = func(ctx context.Context, log cdc.Log) (Tx, error) { return below.Begin(ctx, underHub(log)) }
	}
	if below.Rewind != nil {
		h.Rewind = func(ctx context.Context, at Place, log cdc.Log, seq uint64) error {
			return below.Rewind(ctx, at, underHub(log), seq)
		}
	}
	if below.Sever != nil {
		h.Sever = func(ctx context.Context, at Place, log cdc.Log) (int, error) {
			return below.Sever(ctx, at, underHub(log))
		}
	}
	if below.Break != nil {
		h.Break = func(ctx context.Context, at Place, log cdc.Log) (func(), error) {
			return below.Break(ctx, at, underHub(log))
		}
	}
	if below.BreakEvent != nil {
		h.BreakEvent = func(ctx context.Context, at Place, log cdc.Log, seq uint64) (func(), error) {
			return below.BreakEvent(ctx, at, underHub(log), seq)
		}
	}
	if below.Lock != nil {
		h.Lock = func(ctx context.Context, at Place, log cdc.Log) (func(), error) {
			return below.Lock(ctx, at, underHub(log))
		}
	}
	h.Crash, h.overHub = nil, true // the process that is killed has no followers
	return h
}

// openOver opens a log by open, if that is not nil, and a Hub on it.
func openOver(open func(context.Context, Place) (cdc.Log, error), opts *cdc.HubOptions) func(context.Context, Place) (cdc.Log, error) {
	if open == nil {
		return nil
	}
	return func(ctx context.Context, at Place) (cdc.Log, error) {
		log, err := open(ctx, at)
		if err != nil {
			return nil, err
		}
		hub, err := cdc.NewHub(log, opts)
		if err != nil {
			return nil, err
		}
		return ownedHub{hub}, nil
	}
}

// ownedHub closes the log with its Hub.
type ownedHub struct{ *cdc.Hub }

func (h ownedHub) Close() error {
	err := h.Hub.Close()
	if c, ok := h.Unwrap().(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

func underHub(log cdc.Log) cdc.Log {
	if h, ok := log.(ownedHub); ok {
		return h.Unwrap()
	}
	return log
}
