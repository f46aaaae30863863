package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// hopsPage is where a run of at least half an hour is kept.
const hopsPage = "../../docs/results/fault-hop.md"

// Every client behind every hop, for as long as GAPLESS_SOAK says. The hops
// spoil three of four streams to the end, and no stream lasts longer than five
// seconds, so that all faults go on.
func TestSoakFaultHop(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("GAPLESS_SOAK"))
	if err != nil {
		t.Skip("GAPLESS_SOAK is no duration: make soak")
	}
	clients := slices.Concat(kinds, others)
	for _, k := range clients {
		k.need(t)
	}
	cs := followThroughFaults(t, clients, true)
	cs.monitor()
	total, begun := 0, time.Now()
	for next := begun; next.Sub(begun) < duration; next = next.Add(5 * time.Second) {
		time.Sleep(time.Until(next))
		if total = cs.append(total); total%100 == 0 {
			last := cs.last()
			t.Logf("after %v: %d events; %s has %d", time.Since(begun).Round(time.Second), total, last, last.at())
		}
	}
	cs.await(uint64(total), 10*time.Minute)
	cs.monitor()
	cs.judge()
	text := fmt.Sprintf("%d events in %v, %d clients behind %d hops each.\n\n%s\n%s", total, time.Since(begun).Round(time.Second),
		len(clients), len(faults), cs.sums("Fault", func(c *crossing) string { return c.hop.fault.name }), cs.sums("Client", func(c *crossing) string { return c.client }))
	t.Log(text)
	if duration < 30*time.Minute || t.Failed() {
		return
	}
	page, err := os.ReadFile(hopsPage)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hopsPage, []byte(between(t, string(page), "run", text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// last is one that no other is behind.
func (cs *crossings) last() *crossing {
	return slices.MinFunc(cs.all, func(a, b *crossing) int { return cmp.Compare(a.at(), b.at()) })
}

// sums are the figures of all crossings that have the same name, as a table.
func (cs *crossings) sums(what string, name func(*crossing) string) string {
	rows := [][]string{{what, "events", "requests", "faults", "cuts beside", "resumed", "closed", "elsewhere", "silent", "lost", "twice", "resets"}}
	var names []string
	for _, c := range cs.all {
		if !slices.Contains(names, name(c)) {
			names = append(names, name(c))
		}
	}
	for _, n := range append(names, "all") {
		sum := make([]uint64, len(rows[0])-1)
		for _, c := range cs.all {
			if name(c) == n || n == "all" {
				c.add(sum)
			}
		}
		rows = append(rows, append([]string{n}, strings.Fields(strings.Trim(fmt.Sprint(sum), "[]"))...))
	}
	return markdown(rows)
}

// add adds the figures of the crossing.
func (c *crossing) add(sum []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := uint64(c.hop.requests.Load())
	for i, n := range []uint64{
		c.next - 1 - c.lost, requests, uint64(c.hop.faults.Load()), uint64(c.hop.cuts.Load()), requests - 1,
		c.events["#closed"], c.events["#position"], c.events["#silent"], c.lost, c.repeated, c.events["cdc.reset"],
	} {
		sum[i] += n
	}
}
