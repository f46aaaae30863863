package sqllog

import (
	"context"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Trim implements [cdc.Trimmer]. Each transaction removes at most 1,000 events.
func (l *Log) Trim(ctx context.Context, seq uint64) (removed int, err error) {
	type batch struct {
		removed int
		more    bool
	}
	for {
		b, err := call(ctx, l, func(ctx context.Context) (b batch, err error) {
			b.removed, b.more, err = l.engine.Trim(ctx, engine.ClampSeq(seq))
			return b, err
		})
		removed += b.removed
		if err != nil {
			return removed, fmt.Errorf("sql: trim: %w", explain(l.settings, err))
		}
		if !b.more {
			return removed, nil
		}
	}
}

// Renew implements [cdc.Renewer]. Call it once after a restore from a backup,
// before anything is appended.
func (l *Log) Renew(ctx context.Context) (epoch string, err error) {
	epoch, err = call(ctx, l, l.engine.Renew)
	l.feeds.Kick() // also after an error: the reply to a commit may have been lost
	if err != nil {
		return "", fmt.Errorf("sql: renew: %w", explain(l.settings, err))
	}
	return epoch, nil
}
