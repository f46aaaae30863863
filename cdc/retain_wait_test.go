package cdc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// workersAt has a worker at each cursor.
func workersAt(t *testing.T, at map[string]cdc.Cursor) *memlog.Place {
	t.Helper()
	place := memlog.NewPlace()
	for name, cursor := range at {
		if err := cdc.Seek(t.Context(), place, name, cursor); err != nil {
			t.Fatal(err)
		}
	}
	return place
}

func TestRetainWaitsForWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 1000)
		epoch := boundsOf(t, log).Epoch
		at := func(seq uint64) cdc.Cursor { return cdc.Cursor{Epoch: epoch, Seq: seq} }
		fast := workersAt(t, map[string]cdc.Cursor{"fast": at(900), "unnamed": at(3)})
		slow := workersAt(t, map[string]cdc.Cursor{"slow": at(400), "elsewhere": {Epoch: "other", Seq: 1}})
		retain(t, log, cdc.RetainOptions{MaxEvents: 10, Interval: time.Second, Wait: &cdc.RetainWait{
			Workers:   []cdc.WorkersOf{{Place: fast, Names: []string{"fast"}}, {Place: slow, Names: []string{"elsewhere", "slow"}}},
			MaxEvents: 1500, MaxAge: time.Hour,
		}})
		floor := func(want uint64, why string) {
			t.Helper()
			time.Sleep(2500 * time.Millisecond)
			if b := boundsOf(t, log); b.Floor != want {
				t.Errorf("%s: the floor is %d, want %d", why, b.Floor, want)
			}
		}
		floor(400, "the slowest of the named stands at 400")
		if err := cdc.Seek(t.Context(), slow, "slow", at(700)); err != nil {
			t.Fatal(err)
		}
		floor(700, "it went on")
		add(t, log, 1300) // 1,600 above the floor
		floor(900, "1,500 are kept at most: the slow one is reset, and the next stands at 900")
		if err := cdc.Seek(t.Context(), fast, "fast", at(750)); err != nil {
			t.Fatal(err)
		}
		floor(2290, "both are below the floor, and reset in any case: the limits are those of Retain alone")
		if err := cdc.Seek(t.Context(), slow, "slow", at(2290)); err != nil {
			t.Fatal(err)
		}
		add(t, log, 100)
		floor(2290, "it stands at the floor")
		time.Sleep(time.Hour)
		floor(2390, "an hour is over")
	})
}

// brokenLister cannot be reached.
type brokenLister struct{ hangs bool }

func (p brokenLister) Workers(ctx context.Context) ([]cdc.Worker, error) {
	if p.hangs {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return nil, errHandler
}

// A worker that never began needs all, and so does one that nobody knows of.
func TestRetainKeepsWhatItCannotKnowToBeHandled(t *testing.T) {
	for name, place := range map[string]cdc.WorkerLister{"never began": memlog.NewPlace(), "broken": brokenLister{}, "hangs": brokenLister{true}} {
		synctest.Test(t, func(t *testing.T) {
			log := newMem(t)
			add(t, log, 30)
			var told error
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go func() {
				time.Sleep(15 * time.Second)
				if b := boundsOf(t, log); b.Floor != 0 {
					t.Errorf("%s: the floor is %d, want 0", name, b.Floor)
				}
				add(t, log, 30)
			}()
			err := cdc.Retain(ctx, log, &cdc.RetainOptions{
				MaxEvents: 5, Interval: time.Second, OnError: func(err error) { told = err },
				Wait: &cdc.RetainWait{Workers: []cdc.WorkersOf{{Place: place, Names: []string{"w"}}}, MaxEvents: 40},
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: Retain = %v", name, err)
			}
			if b := boundsOf(t, log); b.Floor != 20 {
				t.Errorf("%s: the floor is %d, want 20: 40 events are kept at most", name, b.Floor)
			}
			if broken := name != "never began"; broken != (told != nil) || broken && !strings.Contains(told.Error(), `"w"`) {
				t.Errorf("%s: OnError was told %v", name, told)
			}
		})
	}
}

func TestRetainRefusesToWaitForWhatCannotBeMeant(t *testing.T) {
	log, place := newMem(t), memlog.NewPlace()
	named := []cdc.WorkersOf{{Place: place, Names: []string{"w"}}}
	for name, wait := range map[string]cdc.RetainWait{
		"nobody":            {MaxEvents: 100},
		"no limit":          {Workers: named},
		"negative":          {Workers: named, MaxEvents: -1},
		"negative bytes":    {Workers: named, MaxBytes: -1},
		"negative age":      {Workers: named, MaxAge: -1},
		"fewer events":      {Workers: named, MaxEvents: 50},
		"as many events":    {Workers: named, MaxEvents: 60},
		"fewer bytes":       {Workers: named, MaxBytes: 60},
		"younger":           {Workers: named, MaxAge: time.Minute},
		"nil place":         {Workers: []cdc.WorkersOf{{Names: []string{"w"}}}, MaxEvents: 100},
		"all of the place":  {Workers: []cdc.WorkersOf{{Place: place}}, MaxEvents: 100},
		"an empty name":     {Workers: []cdc.WorkersOf{{Place: place, Names: []string{""}}}, MaxEvents: 100},
		"the second is bad": {Workers: append(named, cdc.WorkersOf{}), MaxEvents: 100},
	} {
		err := cdc.Retain(t.Context(), log, &cdc.RetainOptions{MaxEvents: 60, MaxBytes: 60, MaxAge: time.Minute, Wait: &wait})
		if err == nil || !strings.HasPrefix(err.Error(), "cdc: ") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}
