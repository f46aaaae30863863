package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Consumer is what [Log.Follow] does with a stream. Its functions are called
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
// stopped the last time, until ctx ends or the log is closed. Options.OnError gets
// each failure of the connection, and Follow tries again after the time that the
// server asked for or a growing one, jittered; a status of 400 to 499, but 408
// and 429, ends it. The error is never nil.
func (l *Log) Follow(ctx context.Context, c Consumer) error {
	if c.Handle == nil {
		return errors.New("remote: Consumer.Handle is nil: nobody takes the events")
	}
	f := &follower{log: l, c: c, start: c.Start, tries: retryAfter(100 * time.Millisecond)}
	if c.Load != nil {
		at, err := c.Load(ctx)
		if err != nil {
			return fmt.Errorf("remote: load the cursor: %w", err)
		}
		if at != (cdc.Cursor{}) {
			f.at, f.saved, f.start = at, at, cdc.After(at)
		}
	}
	err := f.run(ctx)
	return errors.Join(err, f.save(context.WithoutCancel(ctx), 0))
}

// follower is one run of [Log.Follow].
type follower struct {
	log       *Log
	c         Consumer
	start     cdc.Start
	at, saved cdc.Cursor // reached, and stored
	savedAt   time.Time
	tries     retries
}

func (f *follower) run(ctx context.Context) error {
	for {
		err := f.stream(ctx)
		reset, isReset := errors.AsType[*cdc.ResetError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, cdc.ErrClosed), isRefusal(err):
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
			if failed, ok := errors.AsType[*consumerError](err); ok {
				return failed.err
			}
			f.log.opts.OnError(err)
		}
		f.tries.wait(ctx, err)
	}
}

// consumerError is an error of the consumer, not of the connection.
type consumerError struct{ err error }

func (e *consumerError) Error() string { return e.err.Error() }

// stream follows until something breaks.
func (f *follower) stream(ctx context.Context) error {
	for b, err := range cdc.Follow(ctx, f.log, f.start, nil) {
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

func (f *follower) moved(to cdc.Cursor) {
	f.at, f.start = to, cdc.After(to)
	f.tries.Reset()
}

// save stores the position, unless that was done within the time.
func (f *follower) save(ctx context.Context, within time.Duration) error {
	if f.c.Save == nil || f.at == f.saved || within > 0 && time.Since(f.savedAt) < within {
		return nil
	}
	if err := f.c.Save(ctx, f.at); err != nil {
		return fmt.Errorf("remote: save cursor %s: %w", f.at, err)
	}
	f.saved, f.savedAt = f.at, time.Now()
	return nil
}
