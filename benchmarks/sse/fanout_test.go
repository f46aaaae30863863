package sse_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// plenty is more events than any turn publishes.
const plenty = 25_000

// fanOut is what a turn of the fan-out found. The times are for one frame to
// one client.
type fanOut struct {
	wall, cpu           float64 // ns
	lost, repeated, cut int
}

// BenchmarkFanOut publishes events as fast as the library takes them, to a
// hundred clients that read at once.
func BenchmarkFanOut(b *testing.B) {
	const clients, events = 100, 5000
	for _, l := range []peers.Library{peers.BareEach, peers.Gapless, peers.GaplessEnvelope, peers.GoSSE, peers.R3labs, peers.LaunchDarkly, peers.Centrifuge, peers.CentrifugeQueue} {
		b.Run(l.Name, func(b *testing.B) {
			var wall, cpu, bareCPU, wallRatios, cpuRatios []float64
			var lost, repeated, cut []int
			for b.Loop() {
				base := fanOutTurn(b, peers.Bare, clients, events)
				if base.lost+base.repeated > 0 {
					b.Fatalf("the bare handler is wrong: %+v", base)
				}
				r := fanOutTurn(b, l, clients, events)
				wall, cpu, bareCPU = append(wall, r.wall), append(cpu, r.cpu), append(bareCPU, base.cpu)
				wallRatios, cpuRatios = append(wallRatios, r.wall/base.wall), append(cpuRatios, r.cpu/base.cpu)
				lost, repeated, cut = append(lost, r.lost), append(repeated, r.repeated), append(cut, r.cut)
			}
			b.ReportMetric(median(wallRatios), "wall/bare")
			b.ReportMetric(median(cpuRatios), "cpu/bare")
			b.ReportMetric(median(wall), "wall-ns/frame")
			b.ReportMetric(median(cpu), "cpu-ns/frame")
			b.ReportMetric(median(bareCPU), "bare-cpu-ns/frame")
			b.ReportMetric(mean(lost), "lost")
			b.ReportMetric(mean(repeated), "repeated")
			b.ReportMetric(mean(cut), "cut")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func fanOutTurn(tb testing.TB, l peers.Library, count, events int) (r fanOut) {
	tb.Helper()
	s := serve(tb, l, plenty, false)
	clients := make([]*client, count)
	for i := range clients {
		clients[i] = connect(tb, s.addr, s.Path, "")
	}
	defer s.stop(clients...)
	s.connectAll(clients...)
	ready := make([][]byte, events)
	for n := range ready {
		ready[n] = control.Data(control.Marker, n, time.Now())
	}
	runtime.GC()

	errs := make([]error, count)
	var readers sync.WaitGroup
	began, used := time.Now(), control.CPU() // clients included
	for i, c := range clients {
		readers.Go(func() { errs[i] = c.until(func() bool { return c.next >= events }) })
	}
	for _, d := range ready {
		if err := s.Publish(d); err != nil {
			tb.Fatal(err)
		}
	}
	for _, c := range clients { // nothing that is still under way takes so long
		_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	readers.Wait()
	used = control.CPU() - used

	var end time.Time
	got := 0
	for i, c := range clients {
		c.finish(events)
		if r.lost, r.repeated, got = r.lost+c.lost, r.repeated+c.repeated, got+c.got; errs[i] != nil {
			r.cut++
		}
		if c.last.After(end) {
			end = c.last
		}
	}
	r.wall, r.cpu = float64(end.Sub(began))/float64(got), float64(used)/float64(got)
	return r
}
