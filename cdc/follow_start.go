package cdc

import (
	"context"
	"errors"
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
		// A first page in hand shows that the tag is right, and retention can
		// no longer overtake a stream from the beginning.
		if start == Beginning() || start != Latest() && f.pos.Tag != "" {
			err = f.prefetch()
		}
		if reset, ok := errors.AsType[*ResetError](err); ok && start == Beginning() && reset.Reason != ReasonDiverged && moved < maxMoves {
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
	case start == Latest():
		return f.tagged(Cursor{Epoch: b.Epoch, Seq: b.Head}, b)
	case start == Beginning():
		c = Cursor{Epoch: b.Epoch, Seq: b.Floor}
	case !isCursor:
		return Cursor{}, b.Reset(ReasonMalformed, start.text)
	case c.Epoch == "":
		c.Epoch = b.Epoch
	}
	if err := b.Check(c); err != nil {
		return Cursor{}, err
	}
	if limit := f.opts.MaxReplay; limit > 0 && b.Head > c.Seq && b.Head-c.Seq > limit {
		return Cursor{}, b.Reset(ReasonTooFar, c.String())
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
