package sqllog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestHalfOpenConnectionsHoldNobody: on a connection that has gone silent a driver
// may wait without end, whatever its context says. Calls return soon after their
// context has ended, and Close ends the others.
func TestHalfOpenConnectionsHoldNobody(t *testing.T) {
	for _, v := range variants[:4] {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			proxy := testserver.StartProxy(t, serverPort(driver))
			l, err := sqllog.Open(t.Context(), connect(t, driver, at(dsn, serverPort(driver), proxy.Port)), "change_log", &v.opts)
			if err != nil {
				t.Fatal(err)
			}
			sub, err := l.Subscribe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r, err := l.Append(t.Context(), cdc.Event{})
			if err != nil {
				t.Fatal(err)
			}
			proxy.Freeze()
			after := cdc.Cursor{Epoch: r.Epoch}
			inTime(t, "Read", context.DeadlineExceeded, func(ctx context.Context) error { _, err := l.Read(ctx, after, 10); return err })
			inTime(t, "Bounds", context.DeadlineExceeded, func(ctx context.Context) error { _, err := l.Bounds(ctx); return err })
			inTime(t, "Append", context.DeadlineExceeded, func(ctx context.Context) error { _, err := l.Append(ctx, cdc.Event{}); return err })
			inTime(t, "Trim", context.DeadlineExceeded, func(ctx context.Context) error { _, err := l.Trim(ctx, 1); return err })

			waiting, next := make(chan error, 1), make(chan error, 1)
			go func() { _, err := l.Read(context.Background(), after, 10); waiting <- err }()
			go func() {
				for {
					if _, err := sub.Next(context.Background()); err != nil {
						next <- err
						return
					}
				}
			}()
			time.Sleep(50 * time.Millisecond)
			inTime(t, "Close", nil, func(context.Context) error { return l.Close() })
			for what, got := range map[string]chan error{"Read": waiting, "Next": next} {
				inTime(t, what, cdc.ErrClosed, func(context.Context) error { return <-got })
			}
		})
	}
}

// inTime wants f, with a context of a second, to return that error in three.
func inTime(t *testing.T, what string, want error, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	case <-time.After(3 * time.Second):
		t.Errorf("%s has not returned after 3 s", what)
	}
}
