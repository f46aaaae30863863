package cdc_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

var errAway = errors.New("connection refused")

// appendOne appends an event and returns it as it is stored.
func appendOne(t *testing.T, log *memlog.Log) cdc.Event {
	t.Helper()
	r, err := log.Append(t.Context(), cdc.Event{Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[0] - 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events[0]
}

// Since when a Hub cannot follow is known whoever looks when.
func TestHubStatusSaysSinceWhenTheLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memlog.New(nil)
		var down atomic.Bool
		refuse := func(int) error {
			if down.Load() {
				return errAway
			}
			return nil
		}
		log := &hooks{Log: mem, subscribe: refuse, bounds: refuse, read: refuse, next: refuse}
		hub, err := cdc.NewHub(log, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = hub.Close() }()
		synctest.Wait()
		newest := appendOne(t, mem)
		synctest.Wait()
		if s := hub.Status(); !s.Failing.IsZero() || s.Failure != nil || !s.Newest.Equal(newest.Time) {
			t.Errorf("reachable: got failing since %v, %v, newest %v; want neither, and %v", s.Failing, s.Failure, s.Newest, newest.Time)
		}

		down.Store(true)
		appendOne(t, mem) // ends the wait of the reader, which then fails
		synctest.Wait()
		begun := time.Now()
		time.Sleep(time.Hour)
		if s := hub.Status(); !s.Failing.Equal(begun) || !errors.Is(s.Failure, errAway) {
			t.Errorf("away for an hour: got failing since %v, %v; want %v, %v", s.Failing, s.Failure, begun, errAway)
		}

		down.Store(false)
		time.Sleep(time.Minute)
		if s := hub.Status(); !s.Failing.IsZero() || s.Failure != nil {
			t.Errorf("back: got failing since %v, %v", s.Failing, s.Failure)
		}

		ended := time.Now()
		_ = mem.Close()
		synctest.Wait()
		time.Sleep(time.Minute)
		if s := hub.Status(); !s.Failing.Equal(ended) || !errors.Is(s.Failure, cdc.ErrClosed) {
			t.Errorf("closed: got failing since %v, %v; want %v, %v", s.Failing, s.Failure, ended, cdc.ErrClosed)
		}
	})
}
