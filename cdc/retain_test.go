package cdc_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// retain runs Retain until the test ends.
func retain(t *testing.T, log cdc.Log, opts cdc.RetainOptions) {
	ctx, cancel := context.WithCancel(t.Context())
	opts.OnError = func(err error) { t.Errorf("retain: %v", err) }
	ended := make(chan error, 1)
	go func() { ended <- cdc.Retain(ctx, log, &opts) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Retain = %v", err)
		}
	})
}

func boundsOf(t *testing.T, log cdc.Log) cdc.Bounds {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRetainByCountIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		retain(t, log, cdc.RetainOptions{MaxEvents: 100})
		for range 60 {
			add(t, log, rand.IntN(3000))
			time.Sleep(11 * time.Second)
			b := boundsOf(t, log)
			if kept := min(b.Head, 100); b.Head-b.Floor != kept {
				t.Fatalf("kept %d of %d, want %d", b.Head-b.Floor, b.Head, kept)
			}
		}
	})
}

func TestRetainByCountWithHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		for i := range 400 { // every second event is rolled back
			tx, _ := log.Begin(t.Context())
			if _, err := tx.Append(t.Context(), cdc.Event{}); err != nil {
				t.Fatal(err)
			}
			end := tx.Commit
			if i%2 == 0 {
				end = tx.Rollback
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
		}
		retain(t, log, cdc.RetainOptions{MaxEvents: 50})
		time.Sleep(time.Second)
		b := boundsOf(t, log)
		page, err := log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1000)
		if err != nil || len(page.Events) != 50 {
			t.Errorf("kept %d events, %v, want 50", len(page.Events), err)
		}
	})
}

func TestRetainByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		retain(t, log, cdc.RetainOptions{MaxBytes: 10_000})
		for range 30 {
			for range 20 {
				if _, err := log.Append(t.Context(), cdc.Event{Data: make([]byte, rand.IntN(300))}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(11 * time.Second)
			b := boundsOf(t, log)
			page, err := log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 10000)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, e := range page.Events {
				size += e.Size()
			}
			if size > 10_000 || b.Floor > 0 && size < 10_000-300 {
				t.Errorf("kept %d bytes, want just under 10,000", size)
			}
		}
	})
}

func TestRetainByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		retain(t, log, cdc.RetainOptions{MaxAge: time.Hour, Interval: time.Minute})
		for range 200 {
			add(t, log, 7)
			time.Sleep(time.Minute)
		}
		b := boundsOf(t, log)
		if kept := b.Head - b.Floor; kept < 59*7 || kept > 62*7 {
			t.Errorf("kept %d events, want those of the last hour: about %d", kept, 60*7)
		}
	})
}

func TestRetainWaitsForFollowersOfTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 8})
		add(t, log, 10)
		s := follow(t, hub, cdc.Beginning(), &cdc.FollowOptions{PageSize: 5})
		at := uint64(0) // these are handled when the next batch is asked for
		for range 2 {
			for _, e := range s.batch().Events {
				at = e.Seq
			}
		}
		add(t, log, 90)
		retain(t, hub, cdc.RetainOptions{MaxEvents: 10, MaxHold: time.Minute, Interval: time.Second})
		time.Sleep(50 * time.Second)
		if b := boundsOf(t, log); b.Floor > at {
			t.Errorf("floor = %d while the follower is at %d", b.Floor, at)
		}
		time.Sleep(20 * time.Second)
		if b := boundsOf(t, log); b.Floor != 90 {
			t.Errorf("floor = %d after MaxHold, want 90", b.Floor)
		}
		// What the Hub still holds is delivered; what it does not is a reset.
		for at < 100 {
			b, err, _ := s.next()
			if reset, is := errors.AsType[*cdc.ResetError](err); is && reset.Reason == cdc.ReasonTruncated && reset.Floor == 90 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Events {
				if at++; e.Seq != at {
					t.Fatalf("got %d, want %d", e.Seq, at)
				}
			}
		}
	})
}

func TestRetainSurvivesOthersAndEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		retain(t, log, cdc.RetainOptions{MaxEvents: 50})
		for i := range 40 {
			add(t, log, 30)
			b := boundsOf(t, log)
			switch i % 4 {
			case 1:
				if _, err := log.Trim(t.Context(), b.Head-40); err != nil {
					t.Fatal(err)
				}
			case 3:
				if _, err := log.Renew(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(11 * time.Second)
			if b = boundsOf(t, log); b.Head-b.Floor > 50 || b.Head-b.Floor < 30 {
				t.Fatalf("round %d: kept %d", i, b.Head-b.Floor)
			}
		}
	})
}

func TestRetainRefuses(t *testing.T) {
	log := newMem(t)
	for name, opts := range map[string]*cdc.RetainOptions{
		"nil": nil, "no limit": {}, "negative": {MaxEvents: -1}, "negative interval": {MaxAge: 1, Interval: -1},
	} {
		if err := cdc.Retain(t.Context(), log, opts); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	type readOnly struct{ cdc.Log }
	if err := cdc.Retain(t.Context(), readOnly{log}, &cdc.RetainOptions{MaxAge: 1}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a log without Trim: %v", err)
	}
}
