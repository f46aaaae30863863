package capture_test

import (
	"testing"

	"github.com/gapless-go/gapless/test/capture"
)

// linear is the growth of a row's cost that is taken for linear: from 1,000 to
// 8,000 rows a quadratic statement grows 8 times.
const linear = 4

func TestCostOfARowDoesNotGrow(t *testing.T) {
	for _, d := range []capture.Dialect{capture.Postgres, capture.MariaDB, capture.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			for _, c := range measure(t, start(t, d).judge(t, d), 1000, 8000) {
				t.Log(c)
				if c.Growth() > linear {
					t.Errorf("not linear: %s", c)
				}
			}
		})
	}
}

// measure takes the best of some runs: another program on the machine can make
// any of them slow.
func measure(t *testing.T, j *capture.Judge, rows ...int) []*capture.Cost {
	t.Helper()
	var best []*capture.Cost
	for range 3 {
		costs, err := j.Cost(t.Context(), rows)
		if err != nil {
			t.Fatal(err)
		}
		if best == nil {
			best = costs
		}
		grows := false
		for i, c := range best {
			c.Best(costs[i])
			grows = grows || c.Growth() > linear
		}
		if !grows {
			break
		}
	}
	return best
}
