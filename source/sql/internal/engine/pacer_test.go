package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// looker counts the looks that a pacer makes; each takes a millisecond, finds
// the next event and lets the next one wait for ten.
type looker struct {
	pacer *Pacer
	looks int // guarded by the pacer's turn
	at    []time.Duration
	start time.Time
	err   error
}

func newLooker() *looker {
	rest := func(cost time.Duration) time.Duration { return 10 * cost }
	return &looker{pacer: NewPacer(rest), start: time.Now()}
}

func (l *looker) look(ctx context.Context) error {
	return l.pacer.Look(ctx, func(context.Context) (cdc.Bounds, bool, error) {
		l.at = append(l.at, time.Since(l.start))
		l.looks++
		time.Sleep(time.Millisecond)
		return cdc.Bounds{Epoch: "e", Head: uint64(l.looks)}, true, l.err
	})
}

// together lets n readers look at once, and wants the error of each.
func (l *looker) together(ctx context.Context, t *testing.T, n int, want error) {
	t.Helper()
	var readers sync.WaitGroup
	for range n {
		readers.Go(func() {
			if err := l.look(ctx); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	readers.Wait()
}

func TestPacerLetsALookWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		for range 3 {
			if err := l.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if want := []time.Duration{0, 11 * time.Millisecond, 22 * time.Millisecond}; !slices.Equal(l.at, want) {
			t.Errorf("looks began at %v, want %v", l.at, want)
		}
		if b, news := l.pacer.Latest(); !news || b.Head != 3 {
			t.Errorf("latest returned %+v, %v after a look that found something", b, news)
		}
	})
}

// A reader may use a look of somebody else only if that began after it came:
// what was committed before it came must be seen.
func TestPacerSharesLooksThatBeginLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		var first sync.WaitGroup
		first.Go(func() { _ = l.look(t.Context()) })
		synctest.Wait() // it has begun
		l.together(t.Context(), t, 5, nil)
		first.Wait()
		if l.looks != 2 {
			t.Errorf("%d looks for one reader and five that came while it looked, want 2", l.looks)
		}
	})
}

func TestPacerDoesNotShareFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		l.err = errors.New("no server")
		l.together(t.Context(), t, 3, l.err)
		if _, news := l.pacer.Latest(); news || l.looks != 3 {
			t.Errorf("%d looks, news %v, want 3 and none from a failure", l.looks, news)
		}
	})
}

func TestPacerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		if err := l.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		defer cancel()
		l.together(ctx, t, 2, context.DeadlineExceeded) // one waits for the time, one for its turn
		if l.looks != 1 {
			t.Errorf("%d looks, want 1", l.looks)
		}
	})
}

func TestPacerKnowsAReaderAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		if l.pacer.Found(cdc.Cursor{}) {
			t.Error("found something before the first look")
		}
		if err := l.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			at   cdc.Cursor
			want bool
		}{{cdc.Cursor{Epoch: "e", Seq: 1}, true}, {cdc.Cursor{Epoch: "e"}, false}, {cdc.Cursor{Epoch: "e", Seq: 2}, false}, {cdc.Cursor{Epoch: "other", Seq: 1}, false}} {
			if got := l.pacer.Found(c.at); got != c.want {
				t.Errorf("found(%v) = %v, want %v", c.at, got, c.want)
			}
		}
	})
}
