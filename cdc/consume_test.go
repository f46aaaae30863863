package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// bench is a log and a place in memory, and what a worker did.
type bench struct {
	log   *memlog.Log
	place *memlog.Place

	mu       sync.Mutex
	done     []string // texts of the events that took effect
	prepared []string
	states   []cdc.State
	errs     []error
}

func newBench(t *testing.T, texts ...string) *bench {
	t.Helper()
	b := &bench{log: memlog.New(nil), place: memlog.NewPlace()}
	b.append(t, texts...)
	return b
}

// append adds events: the first letter of the text is the key.
func (b *bench) append(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := b.log.Append(t.Context(), cdc.Event{Type: "test", Key: text[:1], Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
}

// handler fails with what fail returns, after it has written.
func (b *bench) handler(fail func(d *cdc.Delivery) error) cdc.Handler[*memlog.PlaceTx] {
	return cdc.Handler[*memlog.PlaceTx]{Apply: func(_ context.Context, tx *memlog.PlaceTx, d *cdc.Delivery) error {
		tx.OnCommit(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.done = append(b.done, string(d.Event.Data))
			b.states = append(b.states, d.State)
		})
		if fail == nil {
			return nil
		}
		return fail(d)
	}}
}

// run consumes for a virtual time, or until Consume returns by itself.
func (b *bench) run(t *testing.T, d time.Duration, h cdc.Handler[*memlog.PlaceTx], opts *cdc.ConsumeOptions) error {
	t.Helper()
	if opts == nil {
		opts = &cdc.ConsumeOptions{}
	}
	opts.Start = cdc.Beginning()
	opts.OnError = func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.errs = append(b.errs, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return cdc.Consume(ctx, b.log, "w", b.place, h, opts)
}

func (b *bench) want(t *testing.T, texts ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.done, texts) {
		t.Errorf("took effect: got %q, want %q", b.done, texts)
	}
}

func (b *bench) parked(t *testing.T) []string {
	t.Helper()
	state, err := b.place.Load(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, p := range state.Parked {
		texts = append(texts, string(p.Event.Data))
	}
	return texts
}

var errHandler = errors.New("the handler fails")

func failOn(text string, err error) func(*cdc.Delivery) error {
	return func(d *cdc.Delivery) error {
		if string(d.Event.Data) == text {
			return err
		}
		return nil
	}
}

func TestConsumeRetriesAndParks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "b1", "a2", "b2", "c1")
		begin := time.Now()
		err := b.run(t, time.Minute, b.handler(failOn("a1", errHandler)), &cdc.ConsumeOptions{MaxTries: 3})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the cause of the context", err)
		}
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("Consume took %v", d)
		}
		b.want(t, "b1", "b2", "c1")
		if got := b.parked(t); !slices.Equal(got, []string{"a1", "a2"}) {
			t.Errorf("parked: got %q, want a1 and a2", got)
		}
		if len(b.errs) != 3 || !errors.Is(b.errs[0], errHandler) {
			t.Errorf("OnError: got %v, want three failures", b.errs)
		}
		// The poison is dropped: what waited behind it goes on.
		if err := cdc.DropParked(t.Context(), b.place, "w", 1); err != nil {
			t.Fatal(err)
		}
		_ = b.run(t, time.Minute, b.handler(nil), nil)
		b.want(t, "b1", "b2", "c1", "a2")
		if err := cdc.DropParked(t.Context(), b.place, "w", 1); err == nil {
			t.Error("an event that is not parked was dropped")
		}
	})
}

func TestConsumeTriesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2", "b1")
		ready := time.Now().Add(time.Hour)
		_ = b.run(t, 2*time.Hour, b.handler(func(d *cdc.Delivery) error {
			if string(d.Event.Data) == "a1" && time.Now().Before(ready) {
				return &cdc.Failure{Class: cdc.Later, After: 20 * time.Minute, Err: errHandler}
			}
			return nil
		}), nil)
		b.want(t, "b1", "a1", "a2")
		if got := b.parked(t); len(got) > 0 {
			t.Errorf("parked: got %q, want none", got)
		}
		if len(b.errs) > 5 {
			t.Errorf("%d tries in an hour of pauses of 20 minutes", len(b.errs))
		}
	})
}

func TestConsumeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2", "a3")
		err := b.run(t, time.Hour, b.handler(failOn("a2", &cdc.Failure{Class: cdc.Stop, Err: errHandler})), nil)
		if !errors.Is(err, errHandler) {
			t.Errorf("got %v, want the error of the handler", err)
		}
		b.want(t, "a1")
		err = b.run(t, time.Hour, b.handler(failOn("a2", &cdc.Failure{Class: cdc.Park, Err: errHandler})), &cdc.ConsumeOptions{MaxParked: 1})
		if full, ok := errors.AsType[*cdc.ParkedError](err); !ok || full.Max != 1 {
			t.Errorf("got %v, want a ParkedError", err)
		}
		b.want(t, "a1")
	})
}

func TestConsumePrepares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "b1", "c1", "d1")
		h := b.handler(nil)
		apply := h.Apply
		h.Prepare = func(_ context.Context, d *cdc.Delivery) error {
			b.prepared = append(b.prepared, string(d.Event.Data))
			if string(d.Event.Data) == "b1" && d.Tries < 2 {
				return errHandler
			}
			d.Prepared = "sent " + string(d.Event.Data)
			return nil
		}
		h.Apply = func(ctx context.Context, tx *memlog.PlaceTx, d *cdc.Delivery) error {
			if d.Prepared != "sent "+string(d.Event.Data) {
				t.Errorf("%s is applied with what was prepared as %v", d.Event.Data, d.Prepared)
			}
			return apply(ctx, tx, d)
		}
		_ = b.run(t, time.Minute, h, nil)
		b.want(t, "a1", "b1", "c1", "d1")
		if want := []string{"a1", "b1", "b1", "b1", "c1", "d1"}; !slices.Equal(b.prepared, want) {
			t.Errorf("prepared: got %q, want %q", b.prepared, want)
		}
	})
}

func TestConsumeTellsHistoryFromNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2")
		go func() {
			time.Sleep(time.Minute)
			b.append(t, "a3")
		}()
		_ = b.run(t, 2*time.Minute, b.handler(nil), nil)
		b.want(t, "a1", "a2", "a3")
		if want := []cdc.State{cdc.Replaying, cdc.Replaying, cdc.Live}; !slices.Equal(b.states, want) {
			t.Errorf("got %v, want %v", b.states, want)
		}
	})
}

func TestConsumeWaitsForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		go func() {
			for i := range 5 {
				b.append(t, fmt.Sprint("a", i))
				time.Sleep(time.Second)
			}
		}()
		_ = b.run(t, time.Minute, b.handler(nil), &cdc.ConsumeOptions{BatchSize: 3, BatchWait: 10 * time.Second})
		b.want(t, "a0", "a1", "a2", "a3", "a4")
		state, err := b.place.Load(t.Context(), "w")
		if want := uint64(4); err != nil || state.Revision != want { // lease, start, two batches
			t.Errorf("revision %d, %v, want %d", state.Revision, err, want)
		}
	})
}

func TestConsumeReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2")
		_ = b.run(t, time.Minute, b.handler(nil), nil)
		b.append(t, "a3", "a4")
		if _, err := b.log.Trim(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		err := b.run(t, time.Minute, b.handler(nil), nil)
		if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonTruncated {
			t.Errorf("got %v, want a reset", err)
		}
		h := b.handler(nil)
		h.Reset = func(context.Context, *memlog.PlaceTx, *cdc.ResetError) (cdc.Start, error) {
			return cdc.Latest(), errHandler
		}
		if err := b.run(t, time.Minute, h, nil); !errors.Is(err, errHandler) {
			t.Errorf("got %v, want what Reset returned", err)
		}
		h.Reset = func(_ context.Context, _ *memlog.PlaceTx, reset *cdc.ResetError) (cdc.Start, error) {
			return cdc.Beginning(), nil
		}
		_ = b.run(t, time.Minute, h, nil)
		b.want(t, "a1", "a2", "a4")
	})
}

// What is parked is of before the reset: the handler has begun anew.
func TestConsumeResetForgetsWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2", "a3")
		_ = b.run(t, time.Minute, b.handler(failOn("a1", &cdc.Failure{Class: cdc.Park, Err: errHandler})), nil)
		if got := b.parked(t); !slices.Equal(got, []string{"a1", "a2", "a3"}) {
			t.Fatalf("parked: got %q, want all", got)
		}
		if _, err := b.log.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := b.handler(nil)
		h.Reset = func(context.Context, *memlog.PlaceTx, *cdc.ResetError) (cdc.Start, error) {
			return cdc.Latest(), nil
		}
		_ = b.run(t, time.Minute, h, nil)
		b.want(t)
		if got := b.parked(t); len(got) > 0 {
			t.Errorf("parked after the reset: got %q, want none", got)
		}
	})
}

func TestConsumeMovesPastWhatItsFilterLeavesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1", "a2")
		_ = b.run(t, time.Minute, b.handler(nil), &cdc.ConsumeOptions{Filter: cdc.Filter{Types: []string{"other"}}})
		b.want(t)
		state, err := b.place.Load(t.Context(), "w")
		if err != nil || state.Cursor.Seq != 2 {
			t.Errorf("the worker stands at %v, %v, want 2", state.Cursor, err)
		}
		seqs, age, err := cdc.Lag(t.Context(), b.log, state.Cursor)
		if seqs != 0 || age != 0 || err != nil {
			t.Errorf("lag at the head: got %d, %v, %v", seqs, age, err)
		}
		b.append(t, "a3")
		time.Sleep(time.Second)
		b.append(t, "a4")
		seqs, age, err = cdc.Lag(t.Context(), b.log, state.Cursor)
		if seqs != 2 || age != time.Second || err != nil {
			t.Errorf("lag: got %d, %v, %v, want 2, 1s", seqs, age, err)
		}
	})
}

// A log or a place that fails for a while costs time and nothing else, and an
// idle worker writes nothing.
func TestConsumeSurvivesALogThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "a1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failing := &failingLog{Log: b.log, until: time.Now().Add(10 * time.Second)}
		_ = cdc.Consume(ctx, failing, "w", b.place, b.handler(nil), &cdc.ConsumeOptions{Start: cdc.Beginning()})
		b.want(t, "a1")
		state, err := b.place.Load(t.Context(), "w")
		if want := uint64(3); err != nil || state.Revision != want { // lease, start, one batch
			t.Errorf("revision %d, %v, want %d", state.Revision, err, want)
		}
		if err := b.log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.run(t, time.Minute, b.handler(nil), nil); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// A log that is gone does not come back.
func TestConsumeEndsWithADeletedLog(t *testing.T) {
	b := newBench(t, "a1")
	err := cdc.Consume(t.Context(), deletedLog{b.log}, "w", b.place, b.handler(nil), &cdc.ConsumeOptions{Start: cdc.Beginning()})
	if !errors.Is(err, cdc.ErrDeleted) {
		t.Errorf("got %v, want ErrDeleted", err)
	}
}

type deletedLog struct{ cdc.Log }

func (deletedLog) Read(context.Context, cdc.Cursor, int) (cdc.Page, error) {
	return cdc.Page{}, fmt.Errorf("read: %w", cdc.ErrDeleted)
}

type failingLog struct {
	cdc.Log
	until time.Time
}

func (l *failingLog) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	if time.Now().Before(l.until) {
		return cdc.Page{}, errHandler
	}
	return l.Log.Read(ctx, after, limit)
}

func TestConsumeRefusesWhatCannotBeMeant(t *testing.T) {
	b := newBench(t)
	h := b.handler(nil)
	for _, c := range []struct {
		name string
		opts *cdc.ConsumeOptions
		h    cdc.Handler[*memlog.PlaceTx]
		want string
	}{
		{"", nil, h, "empty"},
		{strings.Repeat("x", 129), nil, h, "129"},
		{"a\x00b", nil, h, "NUL"},
		{"w", nil, cdc.Handler[*memlog.PlaceTx]{}, "Handler.Apply"},
		{"w", &cdc.ConsumeOptions{BatchSize: -1}, h, "BatchSize"},
		{"w", &cdc.ConsumeOptions{BatchWait: -1}, h, "BatchWait"},
		{"w", &cdc.ConsumeOptions{MaxPause: -1}, h, "MaxPause"},
		{"w", &cdc.ConsumeOptions{MaxParked: -1}, h, "MaxParked"},
		{"w", &cdc.ConsumeOptions{Term: time.Millisecond}, h, "Term"},
	} {
		err := cdc.Consume(t.Context(), b.log, c.name, b.place, c.h, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error that says %q", err, c.want)
		}
	}
}
