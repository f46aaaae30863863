package jetstreamlog

import (
	"context"

	"github.com/gapless-go/gapless/cdc"
)

// Trim implements [cdc.Trimmer] by a purge up to the seq.
func (l *Log) Trim(ctx context.Context, seq uint64) (int, error) {
	return ask(ctx, &l.handle, "trim", func(ctx context.Context) (int, error) {
		b, err := l.current(ctx, cdc.Cursor{}, false)
		if err != nil || min(seq, b.Head) <= b.Floor {
			return 0, err
		}
		request := struct {
			Seq uint64 `json:"seq"` // the first that stays
		}{min(seq, b.Head) + 1}
		var answer struct {
			Purged int `json:"purged"`
		}
		err = l.api(ctx, "STREAM.PURGE", request, &answer)
		return answer.Purged, err
	})
}

// Renew implements [cdc.Renewer]: it changes the stream's metadata. Every process
// follows within about a second, or at its next call.
func (l *Log) Renew(ctx context.Context) (string, error) {
	epoch := cdc.NewEpoch()
	return ask(ctx, &l.handle, "renew", func(ctx context.Context) (string, error) {
		if err := l.setEpoch(ctx, "", epoch); err != nil {
			return "", err
		}
		_, err := l.current(ctx, cdc.Cursor{}, false)
		l.live.Notify()
		return epoch, err
	})
}
