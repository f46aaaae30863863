package cdc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
)

func TestFollowEndsWhenTheSubscriptionStaysBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection lost")
		h := &hooks{Log: newMem(t), next: func(int) error { return broken }}
		s := follow(t, h, cdc.Latest(), nil)
		s.live()
		if err := s.end(); !errors.Is(err, broken) {
			t.Errorf("ended with %v", err)
		}
		if n := h.count("next"); n < 3 || n > 20 {
			t.Errorf("Next was called %d times", n)
		}
	})
}

func TestFollowEndsWithTheErrorOfEachCall(t *testing.T) {
	why := errors.New("disk on fire")
	fail := func(int) error { return why }
	for name, h := range map[string]*hooks{"subscribe": {subscribe: fail}, "bounds": {bounds: fail}, "read": {read: fail}} {
		h.Log = newMem(t)
		add(t, h.Log, 1)
		s := follow(t, h, cdc.AfterText("0"), nil)
		if name == "read" {
			s.batch()
		}
		if err := s.end(); !errors.Is(err, why) {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		log := newMem(t)
		defer cancel(nil)
		var errs []error
		for b, err := range cdc.Follow(ctx, log, cdc.Latest(), nil) {
			if err != nil {
				errs = append(errs, err)
			}
			if b.State == cdc.Live {
				cancel(why)
			}
		}
		if len(errs) != 1 || errs[0] != why {
			t.Errorf("ended with %v, want once %v", errs, why)
		}
	})
}

func TestFollowBreakEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a goroutine left over fails the bubble
		log := newMem(t)
		add(t, log, 10)
		for batches := range 8 {
			n := 0
			for range cdc.Follow(t.Context(), log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2}) {
				if n++; n > batches {
					break
				}
			}
			if n != batches+1 {
				t.Errorf("yielded %d batches after the break at %d", n, batches+1)
			}
		}
	})
}

func TestFollowPassesOnPanics(t *testing.T) {
	h := &hooks{Log: newMem(t), bounds: func(int) error { panic("broken store") }}
	defer func() {
		if p := recover(); p == nil {
			t.Error("the panic of the store did not reach the consumer")
		}
	}()
	for range cdc.Follow(t.Context(), h, cdc.Latest(), nil) {
	}
}

func TestFollowRefusesABrokenSource(t *testing.T) {
	log := newMem(t)
	add(t, log, 3)
	for name, change := range map[string]func(*cdc.Page){
		"inclusive":      func(p *cdc.Page) { p.Events = append([]cdc.Event{{Seq: 0}}, p.Events...) },
		"unsorted":       func(p *cdc.Page) { p.Events[0], p.Events[1] = p.Events[1], p.Events[0] },
		"next too small": func(p *cdc.Page) { p.Next = 1 },
	} {
		s := follow(t, changedPages{log, change}, cdc.Beginning(), nil)
		if name != "inclusive" {
			s.batch()
		}
		if err := func() error {
			for {
				if _, err, ok := s.next(); err != nil || !ok {
					return err
				}
			}
		}(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type changedPages struct {
	cdc.Log
	change func(*cdc.Page)
}

func (c changedPages) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	p, err := c.Log.Read(ctx, after, limit)
	if err == nil && len(p.Events) > 1 {
		c.change(&p)
	}
	return p, err
}

func TestFollowOptionsRefused(t *testing.T) {
	log := newMem(t)
	for name, opts := range map[string]cdc.FollowOptions{
		"heartbeat": {Heartbeat: -1}, "page": {PageSize: -1}, "resume": {ResetTo: 7},
		"floor and cap": {ResetTo: cdc.ResetToFloor, MaxReplay: 1},
	} {
		if err := follow(t, log, cdc.Latest(), &opts).end(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
