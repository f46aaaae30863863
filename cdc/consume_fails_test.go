package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// TestConsumeWithAHandlerThatFailsAnywhere fails on an event, and on one before it
// when that is handled again, as a handler does whose network fails now and then.
func TestConsumeWithAHandlerThatFailsAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var texts []string
		for n := range 20 {
			texts = append(texts, fmt.Sprint("a", n), fmt.Sprint("b", n))
		}
		b := newBench(t, texts...)
		calls, tries := map[string]int{}, map[string]int{}
		h := b.handler(func(d *cdc.Delivery) error {
			text := string(d.Event.Data)
			calls[text]++
			tries[text] = d.Tries
			if text[0] == 'a' && calls[text] == 2 || text[0] == 'b' && calls[text] == 1 {
				return errors.New("now and then")
			}
			return nil
		})
		if err := b.run(t, 10*time.Second, h, &cdc.ConsumeOptions{BatchSize: 2}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Consume returned %v", err)
		}
		b.want(t, texts...)
		for _, text := range texts {
			if text[0] == 'a' && tries[text] != 1 {
				t.Errorf("%s took effect after %d tries, want the one that failed counted", text, tries[text])
			}
		}
	})
}

// refusingPlace fails to apply while refuse says so.
type refusingPlace struct {
	*memlog.Place
	refuse func() bool
}

func (p refusingPlace) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx *memlog.PlaceTx) (cdc.Change, error)) error {
	return p.Place.Apply(ctx, worker, revision, func(ctx context.Context, tx *memlog.PlaceTx) (cdc.Change, error) {
		change, err := fn(ctx, tx)
		if err == nil && p.refuse() {
			err = errors.New("the store is away")
		}
		return change, err
	})
}

// TestConsumeBeginsItsPausesAnewAfterProgress lets the store be away for a minute
// at the first event, and for one try at the second.
func TestConsumeBeginsItsPausesAnewAfterProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		began := time.Now()
		var at time.Time // of the refusal of the second event
		place := refusingPlace{b.place, func() bool {
			now := time.Since(began)
			if now >= 3*time.Minute && at.IsZero() {
				at = time.Now()
				return true
			}
			return now > time.Second && now < time.Minute
		}}
		var paused time.Duration // before the second event was tried again
		h := b.handler(func(d *cdc.Delivery) error {
			if string(d.Event.Data) == "b" && !at.IsZero() {
				paused = time.Since(at)
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		time.AfterFunc(2*time.Second, func() { b.append(t, "a") })
		time.AfterFunc(3*time.Minute, func() { b.append(t, "b") })
		err := cdc.Consume(ctx, b.log, "w", place, h, &cdc.ConsumeOptions{Start: cdc.Beginning()})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Consume returned %v", err)
		}
		b.want(t, "a", "b")
		if paused <= 0 || paused > time.Second {
			t.Errorf("after a success the first pause is %v, want 100 ms", paused)
		}
	})
}
