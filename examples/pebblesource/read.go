package pebblesource

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
)

// view is the log at one moment.
type view struct {
	pebble.Reader
	bounds cdc.Bounds
}

// look calls f with a view of the log.
func (s *Source) look(ctx context.Context, f func(v view) error) error {
	return s.use(func() error {
		snapshot := s.db.NewSnapshot()
		bounds, err := boundsIn(snapshot)
		bounds.Head = min(bounds.Head, s.synced.Load())
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = f(view{snapshot, bounds})
		}
		return errors.Join(err, snapshot.Close())
	})
}

// Bounds implements [cdc.Source].
func (s *Source) Bounds(ctx context.Context) (cdc.Bounds, error) {
	var bounds cdc.Bounds
	err := s.look(ctx, func(v view) error {
		bounds = v.bounds
		return nil
	})
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("pebblesource: bounds: %w", err)
	}
	return bounds, nil
}

// Read implements [cdc.Source].
func (s *Source) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	var page cdc.Page
	err := s.look(ctx, func(v view) error {
		err := v.check(after)
		if err == nil {
			page, err = v.page(after.Seq, max(limit, 1))
		}
		return err
	})
	if err != nil {
		return cdc.Page{}, fmt.Errorf("pebblesource: read: %w", err)
	}
	return page, nil
}

// check refuses a cursor that cannot be resumed.
func (v view) check(after cdc.Cursor) error {
	if err := v.bounds.Check(after); err != nil {
		return err
	}
	if after.Tag == "" {
		return nil
	}
	at, err := eventIn(v, after.Seq)
	if err != nil {
		return err
	}
	return v.bounds.CheckTag(after, at)
}

// page returns the events above after, at most limit.
func (v view) page(after uint64, limit int) (cdc.Page, error) {
	if after >= v.bounds.Head {
		return cdc.Page{Next: after}, nil
	}
	page, size := cdc.Page{Next: v.bounds.Head}, 0
	err := scan(v, after, v.bounds.Head, func(e cdc.Event) (more bool) {
		page.Events = append(page.Events, e)
		size += e.Size()
		if more = len(page.Events) < limit && size < cdc.PageBytes; !more {
			page.Next = e.Seq
		}
		return more
	})
	return page, err
}

// scan calls f with the events above after, up to the seq, until it returns
// false.
func scan(r pebble.Reader, after, upTo uint64, f func(e cdc.Event) (more bool)) error {
	events, err := r.NewIter(&pebble.IterOptions{LowerBound: eventKey(after + 1), UpperBound: eventKey(upTo + 1)})
	if err != nil {
		return err
	}
	for ok := events.First(); ok; ok = events.Next() {
		var e cdc.Event
		if err = decode(events.Value(), &e); err != nil || !f(e) {
			break
		}
	}
	return errors.Join(err, events.Close()) // an iterator that fails has ended
}
