package verify_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance"
	"github.com/gapless-go/gapless/internal/broken"
)

// harness is that of the reference with the bug.
func harness(bug broken.Bug) conformance.Harness {
	var disks sync.Map // by the name of the place
	open := func(_ context.Context, at conformance.Place) (cdc.Log, error) {
		disk, _ := disks.LoadOrStore(at.Name, broken.NewDisk(bug))
		return disk.(*broken.Disk).Open(), nil
	}
	return conformance.Harness{
		Open: open, Reopen: open, Second: open,
		Begin: func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
			return log.(*broken.Store).Begin(ctx)
		},
		Writers: 3,
		Sever: func(_ context.Context, _ conformance.Place, log cdc.Log) (int, error) {
			return log.(*broken.Store).Sever(), nil
		},
		Bubble: true,
	}
}

// watched puts the verifier on every log of the harness.
func watched(h conformance.Harness, report func(*verify.Violation)) conformance.Harness {
	over := func(open func(context.Context, conformance.Place) (cdc.Log, error)) func(context.Context, conformance.Place) (cdc.Log, error) {
		return func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
			log, err := open(ctx, at)
			if err != nil {
				return nil, err
			}
			return verify.Watch(log, report, nil), nil
		}
	}
	below := h
	h.Open, h.Second, h.Reopen = over(h.Open), over(h.Second), over(h.Reopen)
	h.Begin = func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
		return below.Begin(ctx, log.(*verify.Watched).Unwrap())
	}
	h.Sever = func(ctx context.Context, at conformance.Place, log cdc.Log) (int, error) {
		return below.Sever(ctx, at, log.(*verify.Watched).Unwrap())
	}
	return h
}

func TestWatchIsSilentOverTheReference(t *testing.T) {
	var mu sync.Mutex
	var got []*verify.Violation
	h := watched(harness(broken.None), func(v *verify.Violation) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, v)
	})
	conformance.Run(t, h)
	for _, v := range got {
		t.Errorf("reported of a log that breaks nothing: %v", v)
	}
}

func TestWatchReportsBrokenPromises(t *testing.T) {
	for _, bug := range []broken.Bug{
		broken.InclusiveAfter, broken.LimitIgnored, broken.Unsorted, broken.TextOrder, broken.DirtyRead, broken.LateCommit, broken.NumberedBefore,
		broken.HeadFromRows, broken.SeqReusedAfterTrim, broken.NextAboveHead, broken.LastOfPageDropped,
		broken.Duplicate, broken.CommitHook, broken.NextAboveRead, broken.FirstOfNextDropped, broken.TrimAboveHead,
	} {
		t.Run(string(bug), func(t *testing.T) {
			reports := 0
			var mu sync.Mutex
			h := watched(harness(bug), func(*verify.Violation) {
				mu.Lock()
				defer mu.Unlock()
				reports++
			})
			synctest.Test(t, func(t *testing.T) {
				conformance.Check(t.Context(), h, &conformance.Options{Cases: casesOf(bug), Patience: 5 * time.Second, Dir: t.TempDir()})
			})
			if reports == 0 {
				t.Error("the verifier saw the traffic and reported nothing")
			}
		})
	}
}

// casesOf are the case that kills the mutant, and traffic.
func casesOf(bug broken.Bug) []string {
	cases := []string{"Ordered/Concurrent", "Durable/BoundsOnlyGrow", "Live/LagRearmed", "Reliable/ReadAgain"}
	for _, m := range broken.Mutants() {
		if m.Bug == bug {
			cases = append(cases, m.Kills)
		}
	}
	return cases
}

func BenchmarkWatch(b *testing.B) {
	for name, over := range map[string]func(cdc.Log) cdc.Log{
		"bare":    func(l cdc.Log) cdc.Log { return l },
		"watched": func(l cdc.Log) cdc.Log { return verify.Watch(l, func(v *verify.Violation) { b.Error(v) }, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			store := broken.NewDisk(broken.None).Open()
			ctx := context.Background()
			events := make([]cdc.Event, 1000)
			for i := range events {
				events[i] = cdc.Event{Type: "order.created", Key: "42", Data: make([]byte, 200)}
			}
			r, err := store.Append(ctx, events...)
			if err != nil {
				b.Fatal(err)
			}
			log := over(store)
			for b.Loop() {
				if _, err := log.Read(ctx, cdc.Cursor{Epoch: r.Epoch}, 1000); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
}
