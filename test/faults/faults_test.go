package faults_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// loss is what a fault may do to events.
type loss int

const (
	nothing loss = iota // no event is lost, no stream is reset
	maybe               // acknowledged events, if the timing is bad
	surely              // acknowledged events
)

// fault ends with a server that works.
type fault struct {
	name  string
	start func(*campaign)
	loses loss
	do    func(*campaign)
}

func faults() []fault {
	return append(append(append(serverFaults, networkFaults()...), sentinelFaults...), clusterFaults...)
}

// TestSoakFaults appends and follows through two handles while the servers and
// the network fail, and then judges what every follower saw: without a reset it
// is exactly the log, and a reset is legal only for faults that lose events.
// Every fault happens once; with GAPLESS_SOAK set 50 times each in a campaign of
// its own, whose result goes to docs/results/redis-faults.md.
func TestSoakFaults(t *testing.T) {
	if os.Getenv("GAPLESS_SOAK") == "" {
		for _, group := range groups(faults()) {
			t.Run(group[0].name, func(t *testing.T) {
				t.Parallel()
				runCampaign(t, group, 1)
			})
		}
		return
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			const rounds = 50
			began := time.Now()
			r := runCampaign(t, []fault{f}, rounds)
			if !t.Failed() {
				keep(t, f.name, rounds, r, time.Since(began))
			}
		})
	}
}

func runCampaign(t *testing.T, faults []fault, rounds int) result {
	t.Helper()
	c := startCampaign(t, faults[0].start)
	for range rounds {
		for _, f := range faults {
			c.busy(20)
			if rand.IntN(2) == 0 { // else the fault meets followers that are catching up
				c.settle()
			}
			f.do(c)
		}
	}
	r := c.judge(faults[0].loses)
	t.Logf("%d faults %d times: %+v", len(faults), rounds, r)
	return r
}

// groups puts neighbours together that one campaign can have.
func groups(faults []fault) [][]fault {
	var all [][]fault
	for i, f := range faults {
		if i > 0 && f.loses == faults[i-1].loses && f.loses == nothing && sameStart(f, faults[i-1]) {
			all[len(all)-1] = append(all[len(all)-1], f)
		} else {
			all = append(all, []fault{f})
		}
	}
	return all
}
