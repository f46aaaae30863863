package boltlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gapless-go/gapless/cdc"
)

// Append adds the events in order, all or none, and returns when they are
// synced to disk. Appends that run at the same time share a commit; a refused
// or cancelled one does not touch the others.
//
// If ctx ends before the commit has begun, nothing was appended and the error
// is ctx's cause. If it ends during the commit, Append waits for the outcome,
// at most one second more, then returns cdc.ErrUnknownOutcome; so it does when
// the disk fails in a commit. To append in a transaction of your own use
// [Log.AppendTx]: Append would wait for its end.
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	receipt, err := l.append(ctx, events)
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("bolt: append: %w", err)
	}
	return receipt, nil
}

func (l *Log) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if err := l.alive(); err != nil {
		return cdc.Receipt{}, err
	}
	if err := cdc.CheckAppend(events, l.opts.MaxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	if len(events) == 0 {
		b, err := l.bounds(ctx)
		return cdc.Receipt{Epoch: b.Epoch}, err
	}
	records, size := encodeAll(events)
	receipt := new(cdc.Receipt) // not read while a commit is under way
	err := l.submit(ctx, &operation{log: l, bytes: size, run: func(v *view) (err error) {
		*receipt, err = v.append(records)
		return err
	}})
	switch {
	case unknownOutcome(err):
		return cdc.Receipt{}, fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	case err != nil:
		return cdc.Receipt{}, err
	}
	return *receipt, nil
}

// AppendTx adds the events in the caller's write transaction of the same DB:
// they exist if and only if it commits, and subscriptions are woken after
// that. The Receipt holds only if it commits. After an error roll the
// transaction back. It does not block, and the events are copied.
func (l *Log) AppendTx(tx *bbolt.Tx, events ...cdc.Event) (cdc.Receipt, error) {
	receipt, err := l.appendTx(tx, events)
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("bolt: append in a transaction: %w", err)
	}
	return receipt, nil
}

func (l *Log) appendTx(tx *bbolt.Tx, events []cdc.Event) (cdc.Receipt, error) {
	if err := l.alive(); err != nil {
		return cdc.Receipt{}, err
	}
	if err := cdc.CheckAppend(events, l.opts.MaxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	v, err := l.viewInCallers(tx)
	if err != nil {
		return cdc.Receipt{}, err
	}
	records, _ := encodeAll(events)
	receipt, err := v.append(records)
	if err != nil {
		return cdc.Receipt{}, err
	}
	if err := v.save(); err != nil {
		return cdc.Receipt{}, err
	}
	// A wake-up without events: the hooks of two transactions may run in
	// either order, because bbolt unlocks the writer before it calls them.
	tx.OnCommit(func() { l.store.notify(string(l.name)) })
	return receipt, nil
}

// record is an encoded event and its ID.
type record struct {
	id    string
	value []byte
}

// encodeAll encodes the events into one allocation and returns its size. bbolt
// keeps the values until the transaction ends, so nobody may write to them then.
func encodeAll(events []cdc.Event) ([]record, int) {
	size := 0
	for _, e := range events {
		size += recordSize(e)
	}
	records, room := make([]record, 0, len(events)), make([]byte, 0, size)
	for _, e := range events {
		start := len(room)
		room = appendRecord(room, e)
		records = append(records, record{id: e.ID, value: room[start:len(room):len(room)]})
	}
	return records, size
}

// append puts the records at the end of the log, except those whose ID it has.
// Head is raised in v only: see save.
func (v *view) append(records []record) (cdc.Receipt, error) {
	receipt := cdc.Receipt{Epoch: v.epoch, Seqs: make([]uint64, 0, len(records))}
	now := time.Now()
	added := 0
	for _, r := range records {
		seq, err := v.seqOf(r.id)
		if err != nil {
			return cdc.Receipt{}, err
		}
		if seq == 0 {
			if seq, err = v.put(r, now); err != nil {
				return cdc.Receipt{}, err
			}
			added++
		}
		receipt.Seqs = append(receipt.Seqs, seq)
	}
	receipt.Duplicate = added == 0 && len(records) > 0
	return receipt, nil
}

// seqOf returns the seq of the retained event with that ID, or 0.
func (v *view) seqOf(id string) (uint64, error) {
	if id == "" {
		return 0, nil
	}
	value := v.ids.Get(idKey(id))
	if value == nil {
		return 0, nil
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("index entry of ID %.140q: %w", id, errRecord)
	}
	return binary.BigEndian.Uint64(value), nil
}

func (v *view) put(r record, now time.Time) (uint64, error) {
	seq := v.head + 1
	if seq == 0 {
		return 0, errors.New("the log has used up all seqs: begin a new one under another name")
	}
	stamp(r.value, now)
	key := seqKey(seq)
	if err := v.events.Put(key, r.value); err != nil {
		return 0, err
	}
	if r.id != "" {
		if err := v.ids.Put(idKey(r.id), bytes.Clone(key)); err != nil {
			return 0, err
		}
	}
	v.head = seq
	v.changed = true
	return seq, nil
}

// viewInCallers finds the log in a write transaction of the caller.
func (l *Log) viewInCallers(tx *bbolt.Tx) (*view, error) {
	switch {
	case tx == nil || tx.DB() == nil:
		return nil, fmt.Errorf("the transaction has ended: %w", berrors.ErrTxClosed)
	case tx.DB() != l.store.db:
		return nil, fmt.Errorf("the transaction is of another DB (%s): begin one on this log's (%s)", tx.DB().Path(), l.store.db.Path())
	case !tx.Writable():
		return nil, fmt.Errorf("the transaction is read-only: use db.Update: %w", berrors.ErrTxNotWritable)
	}
	return l.viewIn(tx, false)
}
