package cdc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

func TestNotifierWakesAfterSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n cdc.Notifier
		n.Notify() // before: nobody is woken by it
		sub, err := n.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next without a notification: %v", err)
		}
		n.Notify()
		n.Notify()
		if events, err := sub.Next(t.Context()); events != nil || err != nil {
			t.Errorf("Next = %v, %v", events, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("two notifications were not one: %v", err)
		}
	})
}

func TestNotifierKeepsTheWakeUpWhenContextEnds(t *testing.T) {
	var n cdc.Notifier
	sub, _ := n.Subscribe(t.Context())
	n.Notify()
	ended, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := sub.Next(ended); err != why {
		t.Errorf("Next with an ended context = %v, want its cause", err)
	}
	if _, err := sub.Next(t.Context()); err != nil {
		t.Errorf("the wake-up was consumed: %v", err)
	}
}

func TestNotifierClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n cdc.Notifier
		a, _ := n.Subscribe(t.Context())
		b, _ := n.Subscribe(t.Context())
		got := make(chan error, 2)
		go func() { _, err := a.Next(t.Context()); got <- err }()
		synctest.Wait()
		for range 2 {
			if err := a.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := <-got; !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Close ended Next with %v", err)
		}
		n.Close()
		if _, err := b.Next(t.Context()); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("after the notifier's Close: %v", err)
		}
		if _, err := n.Subscribe(t.Context()); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Subscribe after Close: %v", err)
		}
	})
}
