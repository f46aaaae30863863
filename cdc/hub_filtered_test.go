package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// indexed is a log that filters by itself, unless the filter has prefixes.
type indexed struct {
	*memlog.Log
	filtered, read atomic.Int64
}

func (l *indexed) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	if len(f.TopicPrefixes) > 0 {
		return cdc.Page{}, fmt.Errorf("no index for prefixes: %w", errors.ErrUnsupported)
	}
	l.filtered.Add(1)
	time.Sleep(time.Millisecond)
	return l.Log.ReadFiltered(ctx, after, limit, f)
}

func (l *indexed) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	l.read.Add(1)
	time.Sleep(time.Millisecond)
	return l.Log.Read(ctx, after, limit)
}

// TestHubLeavesTheFilterToTheLog counts the reads of thirty followers who come
// back at once to a few of 4,000 events.
func TestHubLeavesTheFilterToTheLog(t *testing.T) {
	for _, c := range []struct {
		name                        string
		filter                      cdc.Filter
		atLeast, atMost, atMostRead int64 // of ReadFiltered, and of Read
	}{
		{"exact topics are read by the log, once for all", cdc.Filter{Topics: []string{"topic7", "topic8"}}, 1, 8, 0},
		{"a declined filter shares the pages of all events", cdc.Filter{TopicPrefixes: []string{"topic77"}}, 0, 0, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &indexed{Log: memlog.New(nil)}
				var events []cdc.Event
				for n := range 4000 {
					events = append(events, cdc.Event{Topic: fmt.Sprint("topic", n%1000)})
				}
				if _, err := l.Append(t.Context(), events...); err != nil {
					t.Fatal(err)
				}
				hub, err := cdc.NewHub(l, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = hub.Close() }()
				if _, err := hub.Read(t.Context(), headOf(t, hub), 1); err != nil { // the tail is placed
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the Hub's reader has nothing left to read
				before := l.read.Load()
				var group sync.WaitGroup
				for range 30 {
					group.Go(func() {
						if n := countFiltered(t, hub, c.filter); n == 0 {
							t.Error("a follower got nothing")
						}
					})
				}
				group.Wait()
				filtered, read := l.filtered.Load(), l.read.Load()-before
				if filtered < c.atLeast || filtered > c.atMost || read > c.atMostRead {
					t.Errorf("30 followers cost %d filtered reads and %d others, want %d to %d and at most %d", filtered, read, c.atLeast, c.atMost, c.atMostRead)
				}
			})
		})
	}
}

// countFiltered follows from the beginning until the stream is live.
func countFiltered(t *testing.T, log cdc.Log, f cdc.Filter) (got int) {
	for b, err := range cdc.Follow(t.Context(), log, cdc.Beginning(), &cdc.FollowOptions{Filter: f}) {
		if got += len(b.Events); err != nil || b.State == cdc.Live {
			break
		}
	}
	return got
}

func headOf(t *testing.T, src cdc.Source) cdc.Cursor {
	t.Helper()
	b, err := src.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}
}
