package boltlog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// trimEvents is how many events one transaction removes.
const trimEvents = 1000

// Trim removes the events at or below seq, none above the head, in
// transactions of at most 1,000 events between which appends get their turn,
// and returns how many it removed, also with an error: then call it again. The
// file does not shrink: its free pages are used again.
func (l *Log) Trim(ctx context.Context, seq uint64) (removed int, err error) {
	for {
		n, more := 0, false
		err := l.submit(ctx, &operation{log: l, run: func(v *view) (err error) {
			n, more, err = v.trim(seq)
			return err
		}})
		if err != nil {
			return removed, fmt.Errorf("bolt: trim: %w", err)
		}
		removed += n
		if !more {
			return removed, nil
		}
	}
}

// trim removes the oldest events up to seq, as many as one transaction may,
// and raises the floor; more says that there are others.
func (v *view) trim(seq uint64) (removed int, more bool, err error) {
	seq = min(seq, v.head)
	if seq <= v.floor {
		return 0, false, nil
	}
	seqs, ids, more, err := v.oldest(seq)
	if err != nil {
		return 0, false, err
	}
	for _, s := range seqs {
		if err := v.events.Delete(seqKey(s)); err != nil {
			return 0, false, err
		}
	}
	for _, key := range ids {
		if err := v.ids.Delete(key); err != nil {
			return 0, false, err
		}
	}
	v.floor = seq
	if more {
		v.floor = seqs[len(seqs)-1]
	}
	v.changed = true
	return len(seqs), more, nil
}

// oldest lists the events to remove and their index keys. Nothing is deleted
// meanwhile: that would move bbolt's cursor.
func (v *view) oldest(limit uint64) (seqs []uint64, ids [][]byte, more bool, err error) {
	c := v.events.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		seq := binary.BigEndian.Uint64(key)
		if seq > limit {
			break
		}
		if len(seqs) == trimEvents {
			return seqs, ids, true, nil
		}
		id, err := recordID(value)
		if err != nil {
			return nil, nil, false, fmt.Errorf("event %d: %w", seq, err)
		}
		if id != "" {
			ids = append(ids, idKey(id))
		}
		seqs = append(seqs, seq)
	}
	return seqs, ids, false, nil
}

// Renew gives the log a new epoch and returns it; events and seqs stay. Every
// cursor handed out before becomes foreign, every open stream is reset.
func (l *Log) Renew(ctx context.Context) (epoch string, err error) {
	renewed := cdc.NewEpoch()
	err = l.submit(ctx, &operation{log: l, run: func(v *view) error {
		v.epoch, v.changed = renewed, true
		return v.root.Put(keyEpoch, []byte(renewed))
	}})
	if unknownOutcome(err) {
		return "", fmt.Errorf("bolt: renew: the epoch may have changed, call it again: %w", err)
	}
	if err != nil {
		return "", fmt.Errorf("bolt: renew: %w", err)
	}
	return renewed, nil
}
