package memlog

import (
	"context"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Append implements [cdc.Appender]: a transaction of one call.
func (l *Log) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	if err := cdc.CheckAppend(events, cdc.DefaultMaxEventBytes); err != nil {
		return cdc.Receipt{}, err
	}
	if err := l.enter(ctx); err != nil {
		return cdc.Receipt{}, err
	}
	defer l.mu.Unlock()
	tx := &Tx{log: l}
	receipt := tx.add(events)
	tx.committed = true
	l.decide(tx)
	return receipt, nil
}

// now is the time of acceptance in the precision that every store keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
