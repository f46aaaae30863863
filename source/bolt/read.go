package boltlog

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// Bounds reads the bounds from the file. Last is Head: bbolt has one writer.
func (l *Log) Bounds(ctx context.Context) (cdc.Bounds, error) {
	b, err := l.bounds(ctx)
	if err != nil {
		return cdc.Bounds{}, fmt.Errorf("bolt: bounds: %w", err)
	}
	return b, nil
}

func (l *Log) bounds(ctx context.Context) (cdc.Bounds, error) {
	return withView(ctx, l, func(v *view) (cdc.Bounds, error) { return v.bounds(), nil })
}

// Read returns a page in one read transaction, which has ended when it
// returns: the events are copies. See cdc.Source.
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	page, err := withView(ctx, l, func(v *view) (cdc.Page, error) { return v.read(ctx, after, limit) })
	if err != nil {
		return cdc.Page{}, fmt.Errorf("bolt: read: %w", err)
	}
	return page, nil
}

func (l *Log) exists(ctx context.Context) (bool, error) {
	return await(ctx, l.ended, func() (exists bool, err error) {
		err = l.store.db.View(func(tx *bbolt.Tx) error {
			if exists = tx.Bucket(l.name) != nil; exists {
				_, err := l.viewIn(tx, false)
				return err
			}
			return nil
		})
		return exists, l.store.explainBegin(err)
	})
}

// withView runs fn in a read transaction. fn must not call foreign code.
func withView[T any](ctx context.Context, l *Log, fn func(v *view) (T, error)) (T, error) {
	if err := l.alive(); err != nil {
		var zero T
		return zero, err
	}
	return await(ctx, l.ended, func() (value T, err error) {
		err = l.store.db.View(func(tx *bbolt.Tx) error {
			v, err := l.viewIn(tx, false)
			if err != nil {
				return err
			}
			value, err = fn(v)
			return err
		})
		return value, l.store.explainBegin(err)
	})
}

func (v *view) read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	b := v.bounds()
	if err := b.Check(after); err != nil {
		return cdc.Page{}, err
	}
	at, err := v.event(after)
	if err != nil {
		return cdc.Page{}, err
	}
	if err := b.CheckTag(after, at); err != nil {
		return cdc.Page{}, err
	}
	if after.Seq >= v.head {
		return cdc.Page{Next: after.Seq}, nil
	}
	return v.page(ctx, after.Seq, max(limit, 1))
}

// event returns what is stored at the cursor, or nil; nil too if no tag asks.
func (v *view) event(at cdc.Cursor) (*cdc.Event, error) {
	if at.Tag == "" {
		return nil, nil
	}
	value := v.events.Get(seqKey(at.Seq))
	if value == nil {
		return nil, nil
	}
	e, err := decode(at.Seq, value)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", at.Seq, err)
	}
	return &e, nil
}

// page returns the events above after, which is below the head.
func (v *view) page(ctx context.Context, after uint64, limit int) (cdc.Page, error) {
	size := 0
	room := min(uint64(limit), v.head-after, 1024) // seqs are dense; more than this is rare in a page
	page := cdc.Page{Events: make([]cdc.Event, 0, room)}
	c := v.events.Cursor()
	for key, value := c.Seek(seqKey(after + 1)); key != nil; key, value = c.Next() {
		if len(page.Events)%256 == 255 && ctx.Err() != nil {
			return cdc.Page{}, context.Cause(ctx)
		}
		seq := binary.BigEndian.Uint64(key)
		e, err := decode(seq, value)
		if err != nil {
			return cdc.Page{}, fmt.Errorf("event %d: %w", seq, err)
		}
		page.Events = append(page.Events, e)
		page.Next = seq
		if size += e.Size(); len(page.Events) == limit || size >= cdc.PageBytes {
			return page, nil
		}
	}
	page.Next = v.head
	return page, nil
}
