package cdc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// maxMoves is how often the beginning may move while a start is resolved. Only
// a source that refuses its own floor makes it move so often.
const maxMoves = 100

// resolve finds the position of the start, yields the first batch and returns
// the head that the log had after the subscription was made.
func (f *follower) resolve(start Start) (head uint64, err error) {
	for moved := 0; ; moved++ {
		b, err := await(f, f.log.Bounds)
		if err != nil {
			return 0, err
		}
		if f.pos, err = f.position(start, b); err != nil {
			return 0, err
		}
		// A first page in hand settles whether the tag is right, and that
		// retention cannot overtake a stream from the beginning.
		if start == Beginning || start != Latest && f.pos.Tag != "" {
			err = f.prefetch()
		}
		if reset, ok := errors.AsType[*ResetError](err); ok && start == Beginning && reset.Reason != ReasonDiverged && moved < maxMoves {
			continue // the beginning has moved since Bounds
		}
		if err != nil {
			return 0, err
		}
		return b.Head, f.emit(nil)
	}
}

// prefetch keeps the page at the position for the replay.
func (f *follower) prefetch() error {
	page, err := f.read()
	if err == nil && page.Next != f.pos.Seq {
		f.pending = &page
	}
	return err
}

// position is where the start lies within the bounds.
func (f *follower) position(start Start, b Bounds) (Cursor, error) {
	c, isCursor := start.Cursor()
	switch {
	case start == Latest:
		return f.tagged(Cursor{Epoch: b.Epoch, Seq: b.Head}, b)
	case start == Beginning:
		c = Cursor{Epoch: b.Epoch, Seq: b.Floor}
	case !isCursor:
		return Cursor{}, b.reset(ReasonMalformed, string(start))
	case c.Epoch == "":
		c.Epoch = b.Epoch
	}
	if err := b.Check(c); err != nil {
		return Cursor{}, err
	}
	if limit := f.opts.MaxReplay; limit > 0 && b.Head > c.Seq && b.Head-c.Seq > limit {
		return Cursor{}, b.reset(ReasonTooFar, c.String())
	}
	return c, nil
}

func (f *follower) tagged(c Cursor, b Bounds) (Cursor, error) {
	return tagged(c, b, func(before Cursor) (Page, error) {
		return await(f, func(ctx context.Context) (Page, error) { return f.log.Read(ctx, before, 1) })
	})
}

// tagged adds the tag of the event at c, if there is one. A log that is
// trimmed or made anew meanwhile has none to give. read reads one event.
func tagged(c Cursor, b Bounds, read func(before Cursor) (Page, error)) (Cursor, error) {
	if c.Seq <= b.Floor {
		return c, nil
	}
	page, err := read(Cursor{Epoch: c.Epoch, Seq: c.Seq - 1})
	if _, reset := errors.AsType[*ResetError](err); reset {
		return c, nil
	}
	if err != nil {
		return Cursor{}, err
	}
	if len(page.Events) > 0 && page.Events[0].Seq == c.Seq {
		c.Tag = page.Events[0].Tag()
	}
	return c, nil
}

// final turns what ended the stream into its last error.
func (f *follower) final(err error) error {
	if f.ctx.Err() != nil && !errors.Is(err, errLeft) {
		return context.Cause(f.ctx)
	}
	reset, ok := errors.AsType[*ResetError](err)
	if !ok {
		return err
	}
	// The source knows only its own view; where to resume depends on now.
	b, boundsErr := await(f, f.log.Bounds)
	if boundsErr != nil {
		return boundsErr
	}
	r := *reset
	if f.started {
		r.Requested = f.pos.String()
		if b.Epoch != f.pos.Epoch {
			r.Reason = ReasonEpochChanged
		}
	}
	r.Floor, r.Head = b.Floor, b.Head
	r.Resume = Cursor{Epoch: b.Epoch, Seq: b.Floor}
	if f.opts.Resume == ResumeHead {
		if r.Resume, err = f.tagged(Cursor{Epoch: b.Epoch, Seq: b.Head}, b); err != nil {
			return err
		}
	}
	return &r
}

func (f *follower) subscribe() error {
	var granted Subscription
	_, err := await(f, func(ctx context.Context) (struct{}, error) {
		sub, err := f.log.Subscribe(ctx)
		granted = sub
		return struct{}{}, err
	})
	if err == nil {
		f.sub = granted
		return nil
	}
	if granted != nil { // after the consumer had left
		_ = granted.Close()
	}
	return err
}

// read returns the next page. A page that the source did not filter is
// filtered on delivery, so that the position has the tag of its last event.
func (f *follower) read() (Page, error) {
	if p := f.pending; p != nil {
		f.pending = nil
		return *p, nil
	}
	return await(f, func(ctx context.Context) (Page, error) {
		if fr, ok := f.log.(FilterReader); ok && !f.opts.Filter.Empty() {
			return fr.ReadFiltered(ctx, f.pos, f.opts.PageSize, f.opts.Filter)
		}
		return f.log.Read(ctx, f.pos, f.opts.PageSize)
	})
}

// errBeat is returned by next when the heartbeat is due.
var errBeat = errors.New("cdc: heartbeat due")

// next waits for the subscription, but not past the next heartbeat: ending the
// context of Next consumes nothing.
func (f *follower) next() ([]Event, error) {
	ctx, cancel := context.WithDeadlineCause(f.ctx, f.lastBeat.Add(f.opts.Heartbeat), errBeat)
	defer cancel()
	events, err := f.sub.Next(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrLagged) {
		return nil, errBeat // or f.ctx has ended; a final error comes again
	}
	return events, err
}

// pause waits, with heartbeats.
func (f *follower) pause(d time.Duration) error {
	_, err := await(f, func(ctx context.Context) (struct{}, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return struct{}{}, context.Cause(ctx)
	})
	return err
}

// await runs op beside the heartbeats, for a store that takes long. It waits
// for op in any case. Before the first batch there is no cursor to beat with.
func await[T any](f *follower, op func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	type result struct {
		value T
		err   error
		panic any
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.panic = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			}
			done <- r
		}()
		r.value, r.err = op(ctx)
	}()
	for {
		var beat <-chan time.Time
		if f.started {
			beat = time.After(time.Until(f.lastBeat.Add(f.opts.Heartbeat)))
		}
		select {
		case r := <-done:
			if r.panic != nil {
				panic(r.panic) // where the consumer of the stream can recover it
			}
			return r.value, r.err
		case <-beat:
			if err := f.emit(nil); err != nil {
				cancel()
				<-done
				var zero T
				return zero, err
			}
		}
	}
}
