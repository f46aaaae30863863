package placetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gapless-go/gapless/cdc"
)

func parkedInOrder[T any](ctx context.Context, s *subject[T]) error {
	if _, err := s.append(ctx, 12); err != nil {
		return err
	}
	var mended atomic.Bool
	handler := s.handler()
	apply := handler.Apply
	handler.Apply = func(ctx context.Context, tx T, d *cdc.Delivery) error {
		err := apply(ctx, tx, d)
		if text := string(d.Event.Data); err == nil && !mended.Load() && text == "4" { // the second of key a
			return &cdc.Failure{Class: cdc.Park, Err: errors.New("poison")}
		}
		return err
	}
	in := s.start(ctx, s.Place, handler, s.opts())
	err := s.finish(ctx, []string{"1", "2", "3", "5", "6", "8", "9", "11", "12"})
	err = errors.Join(err, in.stop())
	state, loadErr := s.Second.Load(ctx, worker)
	if err := errors.Join(err, loadErr); err != nil {
		return err
	}
	if len(state.Parked) != 3 || state.Parked[0].Reason == "" || !state.Parked[1].Behind || !state.Parked[2].Behind {
		return fmt.Errorf("parked are %+v, want event 4 and two behind it", state.Parked)
	}
	mended.Store(true)
	in = s.start(ctx, s.Second, handler, s.opts())
	err = cdc.RetryParked(ctx, s.Place, worker, state.Parked[0].Event.Seq)
	err = errors.Join(err, eventually(ctx, s.Term/20, func() (bool, error) {
		state, err := s.Place.Load(ctx, worker)
		return len(state.Parked) == 0, err
	}))
	err = errors.Join(err, s.finish(ctx, []string{"1", "2", "3", "5", "6", "8", "9", "11", "12", "4", "7", "10"}))
	return errors.Join(err, in.stop())
}

func moved[T any](ctx context.Context, s *subject[T]) error {
	texts, err := s.append(ctx, 4)
	if err != nil {
		return err
	}
	in := s.start(ctx, s.Place, s.handler(), s.opts())
	defer func() { _ = in.stop() }() // the case may have ended before
	if err := s.finish(ctx, texts); err != nil {
		return err
	}
	start, err := s.Second.Load(ctx, worker)
	if err != nil {
		return err
	}
	if err := cdc.SetPaused(ctx, s.Second, worker, true); err != nil {
		return err
	}
	more, err := s.append(ctx, 4)
	if err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, 2*s.Term), s.wantWritten(ctx, texts...)); err != nil {
		return fmt.Errorf("while it was paused: %w", err)
	}
	if err := cdc.SetPaused(ctx, s.Second, worker, false); err != nil {
		return err
	}
	if err := s.finish(ctx, append(slices.Clone(texts), more...)); err != nil {
		return err
	}
	if err := cdc.Seek(ctx, s.Second, worker, start.Cursor); err != nil {
		return err
	}
	return s.finish(ctx, slices.Concat(texts, more, more))
}
