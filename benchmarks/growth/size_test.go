package growth_test

import (
	"context"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// batch is how many events fill a log at once.
func batch() int {
	if full() {
		return 10_000
	}
	return 500
}

// What a log costs does not depend on how much is in it.
func TestLogs(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			p := b.start(t)
			tab := newTable(t, "A log on "+b.name, "events", "append 1", "append 100", "100 at the floor", "in the middle", "at the head", "Bounds", "open", "trim 1,000", "memory", "filled at")
			l, err := p.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			filled := 0
			for _, n := range steps(batch(), number("GAPLESS_EVENTS", 10_000_000)) {
				rate := fill(t, l, filled, n)
				filled = n
				measured := measure(t, l)
				opened := median(t, times(5), func() (err error) {
					_ = l.Close()
					l, err = p.open(t.Context())
					return err
				})
				trimmed := median(t, times(5), func() error { return trim(t.Context(), l, 1000) })
				tab.row(append(append([]any{n}, measured...), opened, trimmed, mb(resident()), rate)...)
			}
		})
	}
}

// fill appends until there are n events and returns how many a second that were.
func fill(t *testing.T, l log, from, n int) int {
	t.Helper()
	start := time.Now()
	for at := from; at < n; at += batch() {
		if _, err := l.Append(t.Context(), events(at, batch(), 1000)...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Bounds(t.Context()); err != nil { // numbers what is pending
		t.Fatal(err)
	}
	return int(float64(n-from) / time.Since(start).Seconds())
}

// measure returns the medians of the operations, in the order of the table.
func measure(t *testing.T, l log) []any {
	t.Helper()
	b, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appendN := func(n int) time.Duration {
		return median(t, times(200), func() error {
			_, err := l.Append(t.Context(), events(int(b.Head), n, 1000)...)
			return err
		})
	}
	one, hundred := appendN(1), appendN(100)
	read := func(after uint64) time.Duration {
		return median(t, times(200), func() error {
			_, err := l.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: after}, 100)
			return err
		})
	}
	bounds := median(t, times(500), func() error { _, err := l.Bounds(t.Context()); return err })
	return []any{one, hundred, read(b.Floor), read((b.Floor + b.Head) / 2), read(b.Head - 100), bounds}
}

// trim removes the n oldest events.
func trim(ctx context.Context, l log, n uint64) error {
	b, err := l.Bounds(ctx)
	if err == nil {
		_, err = l.Trim(ctx, b.Floor+n)
	}
	return err
}
