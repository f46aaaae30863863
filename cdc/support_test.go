package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// hooks wraps a log; a hook that is set runs before the call, and its error
// replaces the call's result.
type hooks struct {
	cdc.Log
	mu        sync.Mutex
	calls     map[string]int
	subscribe func(n int) error
	bounds    func(n int) error
	read      func(n int) error
	next      func(n int) error
}

func (h *hooks) Unwrap() cdc.Log { return h.Log }

func (h *hooks) before(name string, hook func(int) error) error {
	h.mu.Lock()
	if h.calls == nil {
		h.calls = map[string]int{}
	}
	h.calls[name]++
	n := h.calls[name]
	h.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(n)
}

func (h *hooks) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[name]
}

func (h *hooks) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if err := h.before("read", h.read); err != nil {
		return cdc.Page{}, err
	}
	return h.Log.Read(ctx, after, limit)
}

func (h *hooks) Bounds(ctx context.Context) (cdc.Bounds, error) {
	if err := h.before("bounds", h.bounds); err != nil {
		return cdc.Bounds{}, err
	}
	return h.Log.Bounds(ctx)
}

func (h *hooks) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	if err := h.before("subscribe", h.subscribe); err != nil {
		return nil, err
	}
	sub, err := h.Log.Subscribe(ctx)
	return hookedSubscription{sub, h}, err
}

type hookedSubscription struct {
	cdc.Subscription
	h *hooks
}

func (s hookedSubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if err := s.h.before("next", s.h.next); err != nil {
		return nil, err
	}
	return s.Subscription.Next(ctx)
}

// add appends n events of type "t" whose data is their number in this call.
func add(t *testing.T, log cdc.Log, n int) cdc.Receipt {
	t.Helper()
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Type: "t", Data: fmt.Appendf(nil, "%d", i)}
	}
	r, err := cdc.Append(t.Context(), log, events...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return r
}

// stream pulls batches one by one.
type stream struct {
	t    *testing.T
	next func() (cdc.Batch, error, bool)
	stop func()
}

func follow(t *testing.T, log cdc.Log, start cdc.Start, opts *cdc.FollowOptions) *stream {
	t.Helper()
	next, stop := iter.Pull2(cdc.Follow(t.Context(), log, start, opts))
	t.Cleanup(stop)
	return &stream{t, next, stop}
}

// batch returns the next batch, which must come without an error.
func (s *stream) batch() cdc.Batch {
	s.t.Helper()
	b, err, ok := s.next()
	if err != nil || !ok {
		s.t.Fatalf("got error %v (more %t), want a batch", err, ok)
	}
	return b
}

// end returns the final error, after which there must be nothing.
func (s *stream) end() error {
	s.t.Helper()
	_, err, _ := s.next()
	if err == nil {
		s.t.Fatal("got a batch, want the final error")
	}
	if _, again, more := s.next(); more {
		s.t.Fatalf("got more after the final error: %v", again)
	}
	return err
}

// error skips batches and returns the final error.
func (s *stream) error() error {
	s.t.Helper()
	for {
		if _, err, more := s.next(); err != nil || !more {
			return err
		}
	}
}

func (s *stream) reset(want cdc.Reason) *cdc.ResetError {
	s.t.Helper()
	err := s.end()
	reset, ok := errors.AsType[*cdc.ResetError](err)
	if !ok || reset.Reason != want {
		s.t.Fatalf("got %v, want a reset with reason %s", err, want)
	}
	return reset
}

// until collects seqs up to and including the given one.
func (s *stream) until(seq uint64) []uint64 {
	s.t.Helper()
	var seqs []uint64
	for len(seqs) == 0 || seqs[len(seqs)-1] < seq {
		seqs = append(seqs, seqsOf(s.batch().Events)...)
	}
	return seqs
}

// live skips to the batch that announces Live.
func (s *stream) live() cdc.Batch {
	s.t.Helper()
	for {
		if b := s.batch(); b.State == cdc.Live {
			return b
		}
	}
}

func seqsOf(events []cdc.Event) []uint64 {
	var seqs []uint64
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// from returns lo, lo+1, … hi.
func from(lo, hi uint64) []uint64 {
	var seqs []uint64
	for s := lo; s <= hi; s++ {
		seqs = append(seqs, s)
	}
	return seqs
}

func epochOf(t *testing.T, log cdc.Log) string {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b.Epoch
}

func newMem(t *testing.T) *memlog.Log {
	log := memlog.New(nil)
	t.Cleanup(func() { _ = log.Close() })
	return log
}
