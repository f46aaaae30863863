package cdc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// readCounter counts what a Hub tells of its followers' reads.
type readCounter struct{ hits, misses, errors atomic.Int64 }

func (c *readCounter) HubRead(r cdc.HubRead) {
	switch {
	case r.Err != nil:
		c.errors.Add(1)
	case r.Tail:
		c.hits.Add(1)
	default:
		c.misses.Add(1)
	}
}
func (c *readCounter) StreamOpened()             {}
func (c *readCounter) StreamSent(cdc.StreamSent) {}
func (c *readCounter) StreamEnded(string, bool)  {}

// failingReads fails reads from the beginning, but that of one event, with
// which the Hub gets the tag of the newest.
type failingReads struct{ *memlog.Log }

var errRead = errors.New("disk on fire")

func (l failingReads) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if after.Seq == 0 && limit > 1 {
		return cdc.Page{}, errRead
	}
	return l.Log.Read(ctx, after, limit)
}

func TestHubTellsItsObserverAndItsStatus(t *testing.T) {
	ctx := t.Context()
	log := memlog.New(nil)
	r, err := log.Append(ctx, cdc.Event{Data: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	var told readCounter
	hub := cdc.NewHub(failingReads{log}, &cdc.HubOptions{Observer: &told})
	defer func() { _ = hub.Close() }()
	sub, err := hub.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for hub.Status().End.Seq == 0 { // the first time the log is reached
		if _, err := sub.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Append(ctx, cdc.Event{Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(ctx); err != nil {
		t.Fatal(err)
	}

	if _, err := hub.Read(ctx, cdc.Cursor{Epoch: r.Epoch}, 10); !errors.Is(err, errRead) {
		t.Errorf("Read below the tail: %v, want the log's error", err)
	}
	if _, err := hub.Read(ctx, cdc.Cursor{Epoch: r.Epoch, Seq: 1}, 10); err != nil {
		t.Errorf("Read in the tail: %v", err)
	}
	if _, err := hub.Read(ctx, cdc.Cursor{Epoch: r.Epoch, Seq: 2}, 10); err != nil {
		t.Errorf("Read at the end: %v", err)
	}
	if _, err := hub.Read(ctx, cdc.Cursor{Epoch: "other", Seq: 2}, 10); err == nil {
		t.Error("Read of another epoch returned no error")
	}
	if h, m, e := told.hits.Load(), told.misses.Load(), told.errors.Load(); h != 1 || m != 2 || e != 1 {
		t.Errorf("the observer was told %d hits, %d misses, %d errors; want 1, 2 (a reset is an answer), 1", h, m, e)
	}
	s := hub.Status()
	if s.Base.Seq != 1 || s.End.Seq != 2 || s.Events != 1 || s.Bytes != 3 || s.Followers != 1 || s.Slowest != 2 {
		t.Errorf("status %+v", s)
	}
	if s.Hits != 1 || s.Misses != 2 || s.Errors != 1 || s.MaxEvents != 8192 || s.MaxBytes != 16<<20 {
		t.Errorf("status %+v, want 1 hit, 2 misses, 1 error and the default limits", s)
	}
	newest, err := log.Read(ctx, cdc.Cursor{Epoch: r.Epoch, Seq: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seq   uint64
		since time.Time
		exact bool
	}{{0, newest.Events[0].Time, false}, {1, newest.Events[0].Time, true}, {2, time.Time{}, true}, {9, time.Time{}, true}} {
		if since, exact := hub.Waiting(c.seq); !since.Equal(c.since) || exact != c.exact {
			t.Errorf("Waiting(%d) is %v, %v; want %v, %v", c.seq, since, exact, c.since, c.exact)
		}
	}
}
