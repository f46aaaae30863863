package cdc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

func TestHubClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, nil)
		synctest.Wait()
		s := follow(t, hub, cdc.Latest(), nil)
		s.live()
		sub, err := hub.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() { _, err := sub.Next(t.Context()); got <- err }()
		synctest.Wait()
		for range 2 {
			if err := hub.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := <-got; !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Next = %v", err)
		}
		if err := s.end(); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("the stream ended with %v", err)
		}
		_, err1 := hub.Bounds(t.Context())
		_, err2 := hub.Read(t.Context(), cdc.Cursor{Epoch: "e"}, 1)
		_, err3 := hub.Subscribe(t.Context())
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if _, err := log.Bounds(t.Context()); err != nil {
			t.Errorf("Close closed the log: %v", err)
		}
	})
}

func TestHubEndsWithItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, nil)
		s := follow(t, hub, cdc.Latest(), nil)
		s.live()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestHubCallersLeaveTheirSharedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t)}
		add(t, h, 5)
		hub := newHub(t, h, nil)
		synctest.Wait()
		slow := func(int) error { time.Sleep(time.Hour); return nil }
		h.bounds, h.read = slow, slow
		for name, call := range map[string]func(context.Context) error{
			"bounds": func(ctx context.Context) error { _, err := hub.Bounds(ctx); return err },
			"cold": func(ctx context.Context) error {
				_, err := hub.Read(ctx, cdc.Cursor{Epoch: epochOf(t, h.Log)}, 1)
				return err
			},
			"edge": func(ctx context.Context) error {
				_, err := hub.Read(ctx, cdc.Cursor{Epoch: epochOf(t, h.Log), Seq: 5}, 1)
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			cancel()
		}
	})
}

func TestHubRefusesNegativeLimits(t *testing.T) {
	for _, opts := range []cdc.HubOptions{{TailEvents: -1}, {TailBytes: -1}} {
		if hub, err := cdc.NewHub(newMem(t), &opts); err == nil || hub != nil {
			t.Errorf("%+v: got %v and the error %v, want only an error", opts, hub, err)
		}
	}
}
