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

func (l *Log) bounds(ctx context.Context) (b cdc.Bounds, err error) {
	err = l.look(ctx, func(v *view) error {
		b = v.bounds()
		return nil
	})
	return b, err
}

// Read returns a page in one read transaction, which has ended when it
// returns: the events are copies. See cdc.Source.
func (l *Log) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	var page cdc.Page
	err := l.look(ctx, func(v *view) (err error) {
		page, err = v.read(ctx, after, limit)
		return err
	})
	if err != nil {
		return cdc.Page{}, fmt.Errorf("bolt: read: %w", err)
	}
	return page, nil
}

// look runs fn in a read transaction. fn must not call foreign code.
func (l *Log) look(ctx context.Context, fn func(v *view) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := l.alive(); err != nil {
		return err
	}
	return l.explain(l.db.View(func(tx *bbolt.Tx) error {
		v, err := l.in(tx)
		if err != nil {
			return err
		}
		return fn(v)
	}))
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
