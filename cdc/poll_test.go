package cdc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// silent is a store that tells nobody of its commits.
type silent struct {
	log   *memlog.Log
	looks atomic.Int64
	fails atomic.Bool
}

var errDown = errors.New("the store is down")

func (s *silent) Bounds(ctx context.Context) (cdc.Bounds, error) {
	s.looks.Add(1)
	if s.fails.Load() {
		return cdc.Bounds{}, errDown
	}
	return s.log.Bounds(ctx)
}

func (s *silent) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return s.log.Read(ctx, after, limit)
}

func (s *silent) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	return s.log.Append(ctx, events...)
}

func (s *silent) Trim(ctx context.Context, seq uint64) (int, error) { return s.log.Trim(ctx, seq) }

func (s *silent) Renew(ctx context.Context) (string, error) { return s.log.Renew(ctx) }

func TestPolledConformance(t *testing.T) {
	// Through the wrapper, which notices its own commits, and behind its back.
	for name, appendTo := range map[string]func(*cdc.Polled) cdc.Appender{
		"own":     func(p *cdc.Polled) cdc.Appender { return p },
		"foreign": func(p *cdc.Polled) cdc.Appender { return p.Source.(*silent) },
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Open: func(context.Context, conformance.Place) (cdc.Log, error) {
					return cdc.Poll(&silent{log: memlog.New(nil)}, nil)
				},
				Append: func(ctx context.Context, log cdc.Log, events ...cdc.Event) (cdc.Receipt, error) {
					return appendTo(log.(*cdc.Polled)).Append(ctx, events...)
				},
				Bubble: true,
			})
		})
	}
}

func TestPolledLooksLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silent{log: memlog.New(nil)}
		p := newPolled(t, s, &cdc.PollOptions{Min: time.Millisecond, Max: 100 * time.Millisecond})
		sub, err := p.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = sub.Next(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Next of a quiet log: got the error %v", err)
		}
		if got, most := s.looks.Load(), int64(620); got > most || got < 500 {
			t.Errorf("%d looks in a minute, want about 607: ten a second and the seven of the way there", got)
		}
		began := time.Now()
		if _, err := s.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.Next(t.Context()); err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("a commit behind its back: got %v after %v, want nil within Max", err, time.Since(began))
		}
	})
}

func TestPolledEndsWithTheErrorOfALook(t *testing.T) {
	s := &silent{log: memlog.New(nil)}
	p := newPolled(t, s, nil)
	sub, err := p.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.fails.Store(true)
	for range 2 {
		if _, err := sub.Next(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("got the error %v, want %v, and again", err, errDown)
		}
	}
	if _, err := p.Subscribe(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("Subscribe: got the error %v, want %v", err, errDown)
	}
}

func newPolled(t *testing.T, src cdc.Source, opts *cdc.PollOptions) *cdc.Polled {
	t.Helper()
	p, err := cdc.Poll(src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPollRefusesImpossibleOptions(t *testing.T) {
	for _, tt := range []struct {
		min, max time.Duration
		ok       bool
	}{
		{0, 0, true},
		{0, time.Millisecond, true},
		{time.Second, 0, true},
		{time.Second, time.Second, true},
		{time.Second, time.Millisecond, false},
		{-1, 0, false},
		{0, -1, false},
		{-2, -1, false},
	} {
		p, err := cdc.Poll(&silent{}, &cdc.PollOptions{Min: tt.min, Max: tt.max})
		if (err == nil) != tt.ok || (p != nil) != tt.ok {
			t.Errorf("Min %v, Max %v: got %v and the error %v, want accepted %v", tt.min, tt.max, p, err, tt.ok)
		}
	}
}
