package sse_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// resumed is what a client got that came back.
type resumed struct {
	rate           float64 // events/s
	lost, repeated int
	told           bool // that it missed something
}

// BenchmarkResume brings back a client to 20,000 events that it has not seen.
func BenchmarkResume(b *testing.B) {
	const events = 20_000
	for _, l := range []peers.Library{peers.Gapless, peers.GaplessEnvelope, peers.GaplessBolt, peers.GoSSE, peers.GoSSEValid, peers.R3labs, peers.LaunchDarkly, peers.Centrifuge, peers.CentrifugeQueue} {
		b.Run(l.Name, func(b *testing.B) {
			var rates, ratios []float64
			var lost, repeated []int
			for b.Loop() {
				base := resumeTurn(b, peers.Bare, events, plenty)
				if base.lost+base.repeated > 0 {
					b.Fatalf("the bare handler is wrong: %+v", base)
				}
				r := resumeTurn(b, l, events, plenty)
				rates, ratios = append(rates, r.rate), append(ratios, r.rate/base.rate)
				lost, repeated = append(lost, r.lost), append(repeated, r.repeated)
			}
			b.ReportMetric(median(ratios), "rate/bare")
			b.ReportMetric(median(rates), "events/s")
			b.ReportMetric(mean(lost), "lost")
			b.ReportMetric(mean(repeated), "repeated")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkResumeEvicted brings back a client after the server has forgotten
// half of what it missed: does anything tell it? r3labs
// and launchdarkly never forget.
func BenchmarkResumeEvicted(b *testing.B) {
	const events = 2000
	for _, l := range []peers.Library{peers.Gapless, peers.GaplessBolt, peers.GoSSE, peers.CentrifugeQueue} {
		b.Run(l.Name, func(b *testing.B) {
			for b.Loop() {
				r := resumeTurn(b, l, events, events/2)
				told := 0.
				if r.told {
					told = 1
				}
				b.ReportMetric(float64(r.lost), "lost")
				b.ReportMetric(float64(r.repeated), "repeated")
				b.ReportMetric(told, "told")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func resumeTurn(tb testing.TB, l peers.Library, events, keep int) (r resumed) {
	tb.Helper()
	s := serve(tb, l, keep, false)
	c := connect(tb, s.addr, s.Path, "")
	c.record = true
	s.connectAll(c)
	publish(tb, s, 0, 1)
	if err := c.until(func() bool { return c.next > 0 }); err != nil {
		tb.Fatal(err)
	}
	_ = c.conn.Close()
	path, id := s.comeBack(c.text)
	publish(tb, s, 1, events+1)
	if s.Trim != nil {
		if err := s.Trim(); err != nil {
			tb.Fatal(err)
		}
	}
	runtime.GC()

	began := time.Now()
	c = connect(tb, s.addr, path, id)
	defer s.stop(c)
	c.next, c.record = 1, keep < events
	_ = c.conn.SetReadDeadline(began.Add(10 * time.Second))
	_ = c.until(func() bool { return c.next > events })
	c.finish(events + 1)
	r = resumed{lost: c.lost, repeated: c.repeated, told: s.Told != nil && s.Told(c.text)}
	if c.got > 0 {
		r.rate = float64(c.got) / c.last.Sub(began).Seconds()
	}
	return r
}

// publish publishes the events from one number to below another, in groups
// where the library has them.
func publish(tb testing.TB, s *served, from, to int) {
	tb.Helper()
	var group [][]byte
	for n := from; n < to; n++ {
		group = append(group, control.Data(control.Marker, n, time.Now()))
		if len(group) == 500 || n == to-1 {
			if err := s.Publish(group...); err != nil {
				tb.Fatal(err)
			}
			group = nil
		}
	}
}
