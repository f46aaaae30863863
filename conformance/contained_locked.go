package conformance

import (
	"context"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// locked calls the log while somebody else has the store for himself: no call
// waits for longer than its context.
func locked(t *test) {
	log := t.open()
	t.Fill(log, 3)
	epoch := t.Bounds(log).Epoch
	unlock, err := t.h.Lock(t.Ctx, log.at, log.Log)
	if err != nil {
		t.StoreFailed("Lock", err)
	}
	func() {
		defer unlock()
		_ = t.inTimeThoughLocked("Bounds", func(ctx context.Context) error { _, err := log.Bounds(ctx); return err })
		_ = t.inTimeThoughLocked("Read", func(ctx context.Context) error { _, err := log.Read(ctx, cdc.Cursor{Epoch: epoch}, 10); return err })
		_ = t.inTimeThoughLocked("Subscribe", func(ctx context.Context) error {
			sub, err := log.Subscribe(ctx)
			if err == nil {
				_ = sub.Close()
			}
			return err
		})
		err := t.inTimeThoughLocked("Append", func(ctx context.Context) error {
			_, err := t.h.append(ctx, log.Log, cdc.Event{ID: "while locked", Type: "locked"})
			return err
		})
		if err == nil {
			t.DidNothing("Lock", "an Append returned though the store is locked")
		}
	}()
	t.Fill(log, 2)
}

// inTimeThoughLocked calls f with a context that ends while f waits, and
// returns its error: a call that had nothing to wait for has none.
func (t *test) inTimeThoughLocked(what string, f func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(t.Ctx, 30*time.Millisecond)
	defer cancel()
	t.InTime(verify.Contained, what+" of a store that is locked, whose context has ended,", func() { err = f(ctx) })
	t.Trace("%s while the store is locked → %v", what, err)
	return err
}
