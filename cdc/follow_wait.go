package cdc

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// pause waits, with heartbeats.
func (f *follower) pause(d time.Duration) error {
	_, err := await(f, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, backoff.Sleep(ctx, d)
	})
	return err
}

// await runs op beside the heartbeats, for a store that takes long. It waits
// for op in any case. Before the first batch there is no cursor to beat with.
func await[T any](f *follower, op func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	type result struct {
		value T
		err   error
		panic any
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.panic = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			}
			done <- r
		}()
		r.value, r.err = op(ctx)
	}()
	for {
		var beat <-chan time.Time
		if f.started {
			beat = time.After(time.Until(f.lastBeat.Add(f.opts.Heartbeat)))
		}
		select {
		case r := <-done:
			if r.panic != nil {
				panic(r.panic) // where the consumer of the stream can recover it
			}
			return r.value, r.err
		case <-beat:
			if err := f.emit(nil); err != nil {
				cancel()
				<-done
				var zero T
				return zero, err
			}
		}
	}
}
