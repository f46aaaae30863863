package sse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Consumer is what [Remote.Follow] does with a stream. Its functions are called
// one at a time; an error of one ends Follow with it.
type Consumer struct {
	// Start is where to begin as long as no cursor is stored. The zero value
	// is the latest event.
	Start cdc.Start

	// Load returns the cursor that was saved last, the zero Cursor if there is
	// none. nil means that none is.
	Load func(context.Context) (cdc.Cursor, error)

	// Handle is given the next events. It must not be nil. After a crash the
	// events that were handled but not saved come again.
	Handle func(context.Context, []cdc.Event) error

	// Save stores a cursor: after each Handle and each Reset that returned nil,
	// and at most once a second where no event matched. nil means that nothing
	// is stored.
	Save func(context.Context, cdc.Cursor) error

	// Reset loads the state anew, because events may have been skipped; the
	// stream goes on after ResetError.Resume when it returns nil. nil means
	// that a reset ends Follow with the [*cdc.ResetError].
	Reset func(context.Context, *cdc.ResetError) error
}

// Follow hands the events of the remote log to the consumer, from where it
// stopped the last time, until ctx ends or the Remote is closed. What fails on
// the way is told to RemoteOptions.OnError and tried again, after the time that
// the server asked for or a growing one, jittered; a status of 400 to 499, but
// 408 and 429, ends it. The error is never nil.
func (r *Remote) Follow(ctx context.Context, c Consumer) error {
	if c.Handle == nil {
		return errors.New("sse: remote: Consumer.Handle is nil: nobody takes the events")
	}
	f := &remoteFollower{remote: r, c: c, start: c.Start}
	if c.Load != nil {
		at, err := c.Load(ctx)
		if err != nil {
			return fmt.Errorf("sse: remote: load the cursor: %w", err)
		}
		if at != (cdc.Cursor{}) {
			f.at, f.saved, f.start = at, at, cdc.After(at)
		}
	}
	err := f.run(ctx)
	return errors.Join(err, f.save(context.WithoutCancel(ctx), 0))
}

// remoteFollower is one run of [Remote.Follow].
type remoteFollower struct {
	remote    *Remote
	c         Consumer
	start     cdc.Start
	at, saved cdc.Cursor // reached, and stored
	savedAt   time.Time
	failures  int
}

func (f *remoteFollower) run(ctx context.Context) error {
	for {
		err := f.stream(ctx)
		reset, isReset := errors.AsType[*cdc.ResetError](err)
		status, isStatus := errors.AsType[*StatusError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, cdc.ErrClosed), isStatus && status.final():
			return err
		case isReset:
			if f.c.Reset == nil {
				return reset
			}
			if err := f.c.Reset(ctx, reset); err != nil {
				return err
			}
			f.moved(reset.Resume)
			if err := f.save(ctx, 0); err != nil {
				return err
			}
		default:
			if own, ok := errors.AsType[*consumerError](err); ok {
				return own.err
			}
			if f.remote.opts.OnError != nil {
				f.remote.opts.OnError(err)
			}
		}
		f.pause(ctx, err)
	}
}

// consumerError is an error of the consumer, not of the way.
type consumerError struct{ err error }

func (e *consumerError) Error() string { return e.err.Error() }

// stream follows until something breaks.
func (f *remoteFollower) stream(ctx context.Context) error {
	for b, err := range cdc.Follow(ctx, f.remote, f.start, nil) {
		if err != nil {
			return err
		}
		every := time.Second
		if len(b.Events) > 0 {
			if err := f.c.Handle(ctx, b.Events); err != nil {
				return &consumerError{err}
			}
			every = 0
		}
		if b.Cursor != f.at {
			f.moved(b.Cursor)
		}
		if err := f.save(ctx, every); err != nil {
			return &consumerError{err}
		}
	}
	return nil // Follow ends with an error
}

func (f *remoteFollower) moved(to cdc.Cursor) {
	f.at, f.start, f.failures = to, cdc.After(to), 0
}

// save stores the position, unless that was done within the time.
func (f *remoteFollower) save(ctx context.Context, within time.Duration) error {
	if f.c.Save == nil || f.at == f.saved || within > 0 && time.Since(f.savedAt) < within {
		return nil
	}
	if err := f.c.Save(ctx, f.at); err != nil {
		return fmt.Errorf("sse: remote: save cursor %s: %w", f.at, err)
	}
	f.saved, f.savedAt = f.at, time.Now()
	return nil
}

// pause waits before the next try: as long as the server asked for, or from
// 100 ms to 30 s.
func (f *remoteFollower) pause(ctx context.Context, cause error) {
	d := min(30*time.Second, 100*time.Millisecond<<min(f.failures, 10))
	if retry, ok := errors.AsType[*retryError](cause); ok && retry.after > 0 {
		d = retry.after
	}
	f.failures++
	wait(ctx, d)
}
