package cdc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

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

func TestHubStatus(t *testing.T) {
	ctx := t.Context()
	log := memlog.New(nil)
	r, err := log.Append(ctx, cdc.Event{Data: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := cdc.NewHub(failingReads{log}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	sub, err := hub.Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	nextUntil(t, sub, func() bool { return hub.Status().End.Seq != 0 }) // the first time the log is reached
	if _, err := log.Append(ctx, cdc.Event{Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	nextUntil(t, sub, func() bool { return hub.Status().Events != 0 })

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
	s := hub.Status()
	if s.Base.Seq != 1 || s.End.Seq != 2 || s.Events != 1 || s.Bytes != 3 || s.Followers != 1 || s.Slowest != 2 {
		t.Errorf("status %+v", s)
	}
	if s.Hits != 1 || s.Misses != 2 || s.Errors != 1 || s.MaxEvents != 8192 || s.MaxBytes != 16<<20 {
		t.Errorf("status %+v, want 1 hit, 2 misses (a reset is an answer), 1 error and the default limits", s)
	}
	checkWaiting(t, hub, log, r.Epoch)
}

// nextUntil calls Next until the condition holds.
func nextUntil(t *testing.T, sub cdc.Subscription, done func() bool) {
	t.Helper()
	for !done() {
		if _, err := sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWaiting wants event 1 to be below the tail, and 2 in it.
func checkWaiting(t *testing.T, hub *cdc.Hub, log cdc.Source, epoch string) {
	t.Helper()
	newest, err := log.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 1}, 1)
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
