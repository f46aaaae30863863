package redislog

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gapless-go/gapless/cdc"
)

// Trim implements [cdc.Trimmer]. Each step of the server removes at most 1,000
// events, by XTRIM MINID, and raises the floor. It works on a server that is out
// of memory.
func (l *Log) Trim(ctx context.Context, seq uint64) (int, error) {
	removed := 0
	for {
		step, err := call(ctx, &l.handle, "trim", func(ctx context.Context) (trimStep, error) {
			return l.trimOnce(ctx, seq)
		})
		removed += step.removed
		if err != nil || step.floor >= min(seq, step.head) {
			return removed, err
		}
	}
}

// trimStep is what one call of the trim script did.
type trimStep struct {
	removed     int
	floor, head uint64
}

func (l *Log) trimOnce(ctx context.Context, seq uint64) (trimStep, error) {
	reply, err := l.run(ctx, l.store.scripts.trim, []any{cdc.NewEpoch(), seq}, 0)
	if err != nil {
		return trimStep{}, err
	}
	parts, _ := reply.([]any)
	if len(parts) != 3 {
		return trimStep{}, fmt.Errorf("the server answered %v to the trim script", reply)
	}
	n, ok := parts[0].(int64)
	floor, err1 := strconv.ParseUint(fmt.Sprint(parts[1]), 10, 64)
	head, err2 := strconv.ParseUint(fmt.Sprint(parts[2]), 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return trimStep{}, fmt.Errorf("the server answered %v to the trim script", reply)
	}
	return trimStep{removed: int(n), floor: floor, head: head}, nil
}

// Renew implements [cdc.Renewer]. Every process follows within about 2 s, or at
// its next call.
func (l *Log) Renew(ctx context.Context) (string, error) {
	return call(ctx, &l.handle, "renew", func(ctx context.Context) (string, error) {
		epoch, err := l.renew(ctx, "")
		if err != nil {
			return "", err
		}
		_, err = l.current(ctx) // wakes the streams of this process
		return epoch, err
	})
}
