package memlog_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/conformance/placetest"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func TestPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, r := range placetest.Check(t.Context(), newStore) {
			if r.Err != nil {
				t.Errorf("%s: %s\n%v", r.Case.Name, r.Case.Sentence, r.Err)
			}
		}
	})
}

// newStore has a list in memory.
func newStore() (placetest.Store[*memlog.PlaceTx], error) {
	var mu sync.Mutex
	var list []string
	return placetest.Store[*memlog.PlaceTx]{
		Place: memlog.NewPlace(),
		Log:   memlog.New(nil),
		Write: func(_ context.Context, tx *memlog.PlaceTx, text string) error {
			tx.OnCommit(func() {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, text)
			})
			return nil
		},
		Written: func(context.Context) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(list), nil
		},
	}, nil
}
