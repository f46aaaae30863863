package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
)

// rates are what the command prints.
type rates struct {
	Single float64 `json:"appendsPerSecond"`      // one event in a call, one writer
	Batch  float64 `json:"batchEventsPerSecond"`  // 100 events in a call, one writer
	Replay float64 `json:"replayEventsPerSecond"` // one follower from the beginning
	P50    string  `json:"deliveryP50"`           // from the end of an append until a follower has the event
	P99    string  `json:"deliveryP99"`
}

func (r rates) people(w io.Writer) {
	fmt.Fprintf(w, "append, one event a call     %8.0f /s\nappend, 100 events a call    %8.0f /s\nreplay                       %8.0f /s\n", r.Single, r.Batch, r.Replay)
	fmt.Fprintf(w, "delivery while nobody else writes: half within %s, 99 of 100 within %s\n", r.P50, r.P99)
}

func (a *app) bench() *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a store appends and delivers, in a log of its own",
		Long:  "bench measures in a scratch log under a new name, which it removes: one writer, one follower, 200 bytes of data.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if span <= 0 {
				return usagef("--span is %v: give a time such as 2s", span)
			}
			return a.withScratch(ctx, func(scratch *source.Scratch, _ source.Kind) error {
				s, err := scratch.Open(ctx, scratch.Dir, "bench")
				if err != nil {
					return err
				}
				r, err := measure(ctx, s.Log, span)
				if err == nil {
					err = a.print(r, r.people)
				}
				return errors.Join(err, s.Close())
			})
		},
	}
	cmd.Flags().DurationVar(&span, "span", 2*time.Second, "`time` for each measurement")
	return cmd
}

func measure(ctx context.Context, log cdc.Log, span time.Duration) (r rates, err error) {
	if r.Single, err = appendRate(ctx, log, 1, span); err != nil {
		return r, err
	}
	if r.Batch, err = appendRate(ctx, log, 100, span); err != nil {
		return r, err
	}
	if r.Replay, err = replayRate(ctx, log, span); err != nil {
		return r, err
	}
	delays, err := deliveries(ctx, log, span)
	if err != nil {
		return r, err
	}
	slices.Sort(delays)
	at := func(part float64) string {
		return delays[int(part*float64(len(delays)-1))].Round(10 * time.Microsecond).String()
	}
	r.P50, r.P99 = at(0.5), at(0.99)
	return r, nil
}

// sample is n events as they are appended.
func sample(n int) []cdc.Event {
	data := make([]byte, 200)
	for i := range data {
		data[i] = 'x'
	}
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Topic: "bench", Type: "bench.event", Data: data}
	}
	return events
}

func appendRate(ctx context.Context, log cdc.Log, batch int, span time.Duration) (float64, error) {
	events, n, began := sample(batch), 0, time.Now()
	for time.Since(began) < span {
		if _, err := cdc.Append(ctx, log, events...); err != nil {
			return 0, err
		}
		n += batch
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// replayRate reads from the beginning, again and again.
func replayRate(ctx context.Context, log cdc.Log, span time.Duration) (float64, error) {
	n, began := 0, time.Now()
	for time.Since(began) < span {
		for batch, err := range cdc.Follow(ctx, log, cdc.Beginning(), nil) {
			if err != nil {
				return 0, err
			}
			n += len(batch.Events)
			if batch.State == cdc.Live || time.Since(began) > span {
				break
			}
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// deliveries are the times until a follower has an event.
func deliveries(ctx context.Context, log cdc.Log, span time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived, live := make(chan time.Time, 1), make(chan error, 1)
	go func() { // it ends with ctx, which is waited for by its last send
		defer close(arrived)
		for batch, err := range cdc.Follow(ctx, log, cdc.Latest(), nil) {
			if err != nil {
				live <- err
				return
			}
			if len(batch.Events) > 0 {
				arrived <- time.Now()
			} else if batch.State == cdc.Live && len(live) == 0 {
				live <- nil
			}
		}
	}()
	if err := <-live; err != nil {
		return nil, err
	}
	var delays []time.Duration
	for began := time.Now(); time.Since(began) < span || len(delays) == 0; {
		if _, err := cdc.Append(ctx, log, sample(1)...); err != nil {
			return nil, err
		}
		acknowledged := time.Now()
		select {
		case at, ok := <-arrived:
			if !ok {
				return nil, <-live
			}
			delays = append(delays, max(0, at.Sub(acknowledged)))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return delays, nil
}
