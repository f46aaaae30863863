package sqllog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Append implements [cdc.Appender] in a transaction of its own. Use
// [Log.AppendTx] to append in the transaction of the change that the events
// describe.
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	receipt, err := l.append(ctx, slices.Clone(events)) // a driver that hangs may read them later
	if err != nil {
		return cdc.Receipt{}, fmt.Errorf("sql: append: %w", explain(l.settings, err))
	}
	l.feeds.Kick()
	return receipt, nil
}

func (l *Log) append(ctx context.Context, events []cdc.Event) (cdc.Receipt, error) {
	if l.feeds.IsClosed() {
		return cdc.Receipt{}, cdc.ErrClosed
	}
	if insideHandler(ctx) {
		return cdc.Receipt{}, errInHandler
	}
	if err := l.check(events); err != nil {
		return cdc.Receipt{}, err
	}
	receipt, err := call(ctx, l, func(ctx context.Context) (cdc.Receipt, error) {
		return engine.RetryCut(ctx, func(ctx context.Context) (cdc.Receipt, error) { return l.engine.Append(ctx, events) })
	})
	if errors.Is(err, engine.ErrHangs) {
		err = fmt.Errorf("%w: %w", cdc.ErrUnknownOutcome, err)
	}
	return receipt, err
}

// AppendTx adds the events in the caller's transaction: they exist if it
// commits and only then. Their seqs are not known before that, so there is no
// receipt. An event whose ID the log already holds, or that an earlier event of
// the same transaction has, is dropped when it is numbered. Call it after the
// row changes that the events describe: the row locks then make the order of
// events that of the changes. After an error of the database roll back; what
// [cdc.CheckAppend] refuses, and a pool, are errors before any statement.
func (l *Log) AppendTx(ctx context.Context, tx Tx, events ...cdc.Event) error {
	if l.feeds.IsClosed() {
		return fmt.Errorf("sql: append: %w", cdc.ErrClosed)
	}
	if err := l.check(events); err != nil {
		return fmt.Errorf("sql: append: %w", err)
	}
	tx, err := plain(tx)
	if err != nil {
		return fmt.Errorf("sql: append: %w", err)
	}
	if err := l.engine.AppendTx(ctx, tx, events); err != nil {
		return fmt.Errorf("sql: append: %w", explain(l.settings, err))
	}
	return nil
}

func (l *Log) check(events []cdc.Event) error {
	if err := cdc.CheckAppend(events, l.maxEventBytes); err != nil {
		return err
	}
	for i, e := range events {
		if len(e.ID) > engine.MaxIDBytes {
			return &cdc.InvalidEventError{Index: i, Field: "ID", Problem: fmt.Sprintf("is %d bytes long, an index of the database takes %d: use a hash of it", len(e.ID), engine.MaxIDBytes)}
		}
		for _, f := range l.settings.Columns.Unstorable(e) {
			return &cdc.InvalidEventError{Index: i, Field: f, Problem: "is set, but Options.Columns names no column for it"}
		}
	}
	return nil
}
