package cdc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// shortPages is a log whose pages are legal, but shorter than asked for, and
// of another length at each read; a page also ends in the middle of a hole.
type shortPages struct {
	cdc.Log
	length func() int
}

func (s shortPages) Unwrap() cdc.Log { return s.Log }

func (s shortPages) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	page, err := s.Log.Read(ctx, after, min(limit, s.length()))
	if n := len(page.Events); n > 0 && page.Next > page.Events[n-1].Seq+1 {
		page.Next = page.Events[n-1].Seq + 1
	}
	return page, err
}

// crowded is a log with other readers, whose pages a Hub shares.
type crowded struct{ cdc.Log }

func (c crowded) Unwrap() cdc.Log { return c.Log }

func (c crowded) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	other := cdc.Cursor{Epoch: after.Epoch, Seq: after.Seq + rand.Uint64N(600)}
	_, _ = c.Log.Read(ctx, other, limit) // it may be below the floor or above the head
	return c.Log.Read(ctx, after, limit)
}

// withHoles appends n events of about size bytes; before each there may be one
// that is rolled back.
func withHoles(t *testing.T, log *memlog.Log, n, size int) {
	t.Helper()
	for range n {
		if rand.IntN(3) == 0 {
			tx, err := log.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Append(t.Context(), cdc.Event{}); err != nil {
				t.Fatal(err)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := log.Append(t.Context(), cdc.Event{Data: make([]byte, 1+rand.IntN(size))}); err != nil {
			t.Fatal(err)
		}
	}
}

// retained reads what is left, in whatever pages it comes.
func retained(t *testing.T, log cdc.Log) (events []cdc.Event) {
	t.Helper()
	b := boundsOf(t, log)
	at := cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}
	for {
		page, err := log.Read(t.Context(), at, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if page.Next == at.Seq {
			return events
		}
		events, at.Seq = append(events, page.Events...), page.Next
	}
}

func sizeOf(events []cdc.Event) (bytes int64) {
	for _, e := range events {
		bytes += int64(e.Size())
	}
	return bytes
}

// TestRetainIsExactWhateverThePages appends, trims and counts in every form in
// which a log may be read.
func TestRetainIsExactWhateverThePages(t *testing.T) {
	over := map[string]func(*testing.T, cdc.Log) cdc.Log{
		"plain": func(_ *testing.T, log cdc.Log) cdc.Log { return log },
		"one event a page": func(_ *testing.T, log cdc.Log) cdc.Log {
			return shortPages{log, func() int { return 1 }}
		},
		"short pages": func(_ *testing.T, log cdc.Log) cdc.Log {
			return shortPages{log, func() int { return 1 + rand.IntN(700) }}
		},
		"hub": func(t *testing.T, log cdc.Log) cdc.Log { return newHub(t, log, nil) },
		"hub with readers": func(t *testing.T, log cdc.Log) cdc.Log {
			return crowded{newHub(t, log, &cdc.HubOptions{TailEvents: 64})}
		},
		"hub with a small tail": func(t *testing.T, log cdc.Log) cdc.Log {
			return newHub(t, log, &cdc.HubOptions{TailEvents: 64})
		},
	}
	limits := map[string]struct {
		opts cdc.RetainOptions
		size int // of the largest event
	}{
		"events":             {cdc.RetainOptions{MaxEvents: 900}, 20},
		"events of 50 KB":    {cdc.RetainOptions{MaxEvents: 90}, 100_000},
		"bytes":              {cdc.RetainOptions{MaxBytes: 9_000}, 20},
		"age":                {cdc.RetainOptions{MaxAge: 35 * time.Second}, 20},
		"events and bytes":   {cdc.RetainOptions{MaxEvents: 900, MaxBytes: 9_500}, 20},
		"events, bytes, age": {cdc.RetainOptions{MaxEvents: 1500, MaxBytes: 9_500, MaxAge: 35 * time.Second}, 20},
	}
	for name, wrap := range over {
		for what, limit := range limits {
			t.Run(fmt.Sprintf("%s/%s", name, what), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testRetainIsExact(t, wrap, limit.opts, limit.size) })
			})
		}
	}
}

func testRetainIsExact(t *testing.T, wrap func(*testing.T, cdc.Log) cdc.Log, limit cdc.RetainOptions, size int) {
	log := newMem(t)
	limit.MaxHold = -1
	var all []cdc.Event // that were retained after the last round, and those after them
	for round := range 6 {
		before := boundsOf(t, log).Head
		n := 40 + rand.IntN(200)
		if round == 0 && size < 1000 {
			n = 3000
		}
		withHoles(t, log, n, size)
		for _, e := range retained(t, log) {
			if e.Seq > before {
				all = append(all, e)
			}
		}
		if round == 0 {
			retain(t, wrap(t, log), limit) // a Hub has the first events not in its tail
		}
		time.Sleep(10*time.Second + time.Millisecond) // now a round has ended
		synctest.Wait()
		all = within(all, limit)
		if got := retained(t, log); len(got) != len(all) || sizeOf(got) != sizeOf(all) {
			t.Fatalf("round %d: kept %d events of %d bytes, want %d of %d", round, len(got), sizeOf(got), len(all), sizeOf(all))
		}
	}
}

// within returns the newest of the events that are within the limits.
func within(events []cdc.Event, limit cdc.RetainOptions) []cdc.Event {
	bytes := sizeOf(events)
	for len(events) > 0 {
		oldest := events[0]
		over := limit.MaxEvents > 0 && int64(len(events)) > limit.MaxEvents ||
			limit.MaxBytes > 0 && bytes > limit.MaxBytes ||
			limit.MaxAge > 0 && time.Since(oldest.Time) > limit.MaxAge
		if !over {
			break
		}
		bytes -= int64(oldest.Size())
		events = events[1:]
	}
	return events
}
