package soak_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc/verify"
)

// A long replay to one client takes a bounded amount of the server's memory,
// whatever the length of the log, and pins no page of the file: appends during
// it do not make the file grow more than they do without.
func TestLongReplay(t *testing.T) {
	s := newServer(t)
	total := pick(20_000, 1_000_000)
	for n := 0; n < total; n += 10_000 {
		var lines []string
		for i := range 10_000 {
			lines = append(lines, fmt.Sprintf(`{"topic":"soak","type":"tick","key":"%d","data":{"n":%d,"pad":%q}}`, i%100, n+i, strings.Repeat("x", 150)))
		}
		if err := s.post(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := s.memory()
	peak, peakFile := before, int64(0)
	history := new(verify.History)
	c := newClient(s, history, "replay", "beginning")
	began := time.Now()
	err := c.connect(t.Context(), 1<<40, func() bool {
		if c.events%5000 == 0 {
			own, file := s.memory()
			peak, peakFile = max(peak, own), max(peakFile, file)
		}
		return c.pos >= uint64(total)
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	judge(t, history)
	if c.events != total {
		t.Errorf("got %d events, want %d", c.events, total)
	}
	t.Logf("%d events in %v (%.0f/s); own memory %d KB before, at most %d KB during, mapped file at most %d KB",
		total, took.Round(time.Millisecond), float64(total)/took.Seconds(), before>>10, peak>>10, peakFile>>10)
	if grown := (peak - before) >> 20; grown > 64 {
		t.Errorf("memory grew by %d MB during the replay, want at most 64", grown)
	}
}
