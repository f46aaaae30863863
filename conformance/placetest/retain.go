package placetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gapless-go/gapless/cdc"
)

// retained has ten events, of which one is kept without a worker and five are
// with one.
func retained[T any](ctx context.Context, s *subject[T]) error {
	if _, err := s.append(ctx, 6); err != nil {
		return err
	}
	handled, err := s.third(ctx)
	if err != nil {
		return err
	}
	if err := s.set(ctx, worker, change{Cursor: handled}); err != nil {
		return err
	}
	limited, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		_ = cdc.Retain(limited, s.Log, &cdc.RetainOptions{MaxEvents: 1, Interval: s.Term / 20, Wait: &cdc.RetainWait{
			Workers: []cdc.WorkersOf{{Place: s.Second, Names: []string{worker}}}, MaxEvents: 5,
		}}) // it ends with limited
	})
	if err := s.floorIs(ctx, func(floor uint64) bool { return floor == handled.Seq }); err != nil {
		return fmt.Errorf("cdc.Retain did not remove what the worker has handled: %w", err)
	}
	if err := pause(ctx, s.Term/2); err != nil {
		return err
	}
	if b, err := s.Log.Bounds(ctx); err != nil || b.Floor != handled.Seq {
		return fmt.Errorf("the floor is %d, %w, and the worker stands at %d", b.Floor, err, handled.Seq)
	}
	if _, err := s.append(ctx, 4); err != nil {
		return err
	}
	if err := s.floorIs(ctx, func(floor uint64) bool { return floor > handled.Seq }); err != nil {
		return fmt.Errorf("cdc.Retain waits for the worker beyond the limit: %w", err)
	}
	err = cdc.Consume(ctx, s.Log, worker, s.Place, s.handler(), s.opts())
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonTruncated {
		return fmt.Errorf("a worker whose events were removed ended with %w, want a reset because the log was truncated", err)
	}
	return s.wantWritten(ctx)
}

// third is the cursor of the third event.
func (s *subject[T]) third(ctx context.Context) (cdc.Cursor, error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return cdc.Cursor{}, err
	}
	page, err := s.Log.Read(ctx, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 3)
	if err != nil || len(page.Events) != 3 {
		return cdc.Cursor{}, fmt.Errorf("%d events were read, want 3: %w", len(page.Events), err)
	}
	return page.Events[2].Cursor(b.Epoch), nil
}

// floorIs waits for the floor of the log.
func (s *subject[T]) floorIs(ctx context.Context, ok func(floor uint64) bool) error {
	return eventually(ctx, s.Term/20, func() (bool, error) {
		b, err := s.Log.Bounds(ctx)
		return ok(b.Floor), err
	})
}
