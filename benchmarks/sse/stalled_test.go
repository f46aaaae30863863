package sse_test

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// beside is what clients got beside one that does not read.
type beside struct {
	p99          time.Duration // from when an event should have been published, for the others
	late         int           // events that had not reached the others at the end
	cut          bool          // the stream of the stalled client was ended
	lost, repeat int           // of the stalled client, when it had read on and come back
	othersWrong  int           // lost or repeated by the others before the end
}

// BenchmarkStalled publishes an event each millisecond to twenty clients that
// read and one that does not.
func BenchmarkStalled(b *testing.B) {
	const others, events, end = 20, 2500, 500 * time.Millisecond
	wait := func(_ *served, _ *sync.WaitGroup, last time.Time) { time.Sleep(time.Until(last.Add(end))) }
	for _, l := range []peers.Library{peers.BareEach, peers.Gapless, peers.GoSSE, peers.R3labs, peers.LaunchDarkly, peers.Centrifuge} {
		b.Run(l.Name, func(b *testing.B) {
			var p99, base []time.Duration
			var late, cut, lost, repeat []int
			for b.Loop() {
				base = append(base, stalledTurn(b, peers.Bare, others, events, wait).p99)
				r := stalledTurn(b, l, others, events, wait)
				p99, late, lost, repeat = append(p99, r.p99), append(late, r.late), append(lost, r.lost), append(repeat, r.repeat)
				cut = append(cut, 0)
				if r.cut {
					cut[len(cut)-1] = 1
				}
			}
			b.ReportMetric(median(p99).Seconds()*1000, "p99-ms")
			b.ReportMetric(median(base).Seconds()*1000, "bare-p99-ms")
			b.ReportMetric(mean(late), "late")
			b.ReportMetric(mean(cut), "stalled-cut")
			b.ReportMetric(mean(lost), "stalled-lost")
			b.ReportMetric(mean(repeat), "stalled-repeated")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Beside a client that does not read, the others get every event once. Its own
// stream ends, and when it comes back it has every event once, too.
func TestStalled(t *testing.T) {
	const others, events = 5, 2500
	r := stalledTurn(t, peers.Gapless, others, events, func(s *served, others *sync.WaitGroup, _ time.Time) {
		select {
		case <-s.first:
		case <-time.After(time.Minute):
			t.Error("the stream of the stalled client is still open")
		}
		others.Wait()
	})
	if r.late+r.othersWrong > 0 {
		t.Errorf("the others: got %d events late and %d lost or repeated, want none", r.late, r.othersWrong)
	}
	if !r.cut || r.lost+r.repeat > 0 {
		t.Errorf("the stalled client: got its stream ended %v, %d events lost and %d repeated, want true, 0, 0", r.cut, r.lost, r.repeat)
	}
}

// stalledTurn lets the stalled client read on when wait returns, which is
// given the others and the time of the last event.
func stalledTurn(tb testing.TB, l peers.Library, count, events int, wait func(*served, *sync.WaitGroup, time.Time)) (r beside) {
	tb.Helper()
	s := serve(tb, l, plenty, true)
	stalled := connect(tb, s.addr, s.Path, "")
	_ = stalled.conn.(*net.TCPConn).SetReadBuffer(8 << 10)
	stalled.record = true
	s.connectAll(stalled)
	clients := make([]*client, count)
	for i := range clients {
		clients[i] = connect(tb, s.addr, s.Path, "")
	}
	defer s.stop(append(clients, stalled)...)
	s.connectAll(clients...)

	delays := make([][]time.Duration, count)
	var readers sync.WaitGroup
	for i, c := range clients {
		c.seen = func(delay time.Duration) { delays[i] = append(delays[i], delay) }
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Minute))
		readers.Go(func() { _ = c.until(func() bool { return c.next >= events }) })
	}
	begin := time.Now()
	published := make(chan error, 1)
	go func() { published <- pace(s, begin, events) }()
	wait(s, &readers, begin.Add(time.Duration(events)*time.Millisecond))
	end := time.Now()
	for _, c := range clients {
		_ = c.conn.Close()
	}
	readers.Wait()
	var all []time.Duration
	for i, c := range clients {
		r.othersWrong += c.lost + c.repeated
		r.late += events - c.next
		all = append(all, delays[i]...)
		for n := c.next; n < events; n++ { // so late at least
			all = append(all, end.Sub(begin.Add(time.Duration(n)*time.Millisecond)))
		}
	}
	slices.Sort(all)
	r.p99 = all[len(all)*99/100]
	select {
	case <-s.first:
		r.cut = true
	default:
	}
	r.lost, r.repeat = readOn(tb, s, stalled, events, published)
	return r
}

// pace publishes an event each millisecond. The time in an event is when it
// was due, so that a library which makes its publisher wait does not hide it.
func pace(s *served, begin time.Time, events int) error {
	for n := range events {
		due := begin.Add(time.Duration(n) * time.Millisecond)
		time.Sleep(time.Until(due))
		if err := s.Publish(control.Data(control.Marker, n, due)); err != nil {
			return err
		}
	}
	return nil
}

// readOn lets the stalled client read what there is, and come back if its
// stream has ended.
func readOn(tb testing.TB, s *served, c *client, events int, published chan error) (lost, repeated int) {
	tb.Helper()
	all := func() bool { return c.next >= events }
	_ = c.conn.(*net.TCPConn).SetReadBuffer(1 << 20)
	_ = c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	err := c.until(all)
	if err := <-published; err != nil {
		tb.Fatal(err)
	}
	if err != nil {
		path, id := s.comeBack(c.text)
		again := connect(tb, s.addr, path, id)
		again.next, again.lost, again.repeated = c.next, c.lost, c.repeated
		defer again.conn.Close()
		_ = again.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		c = again
		_ = c.until(all)
	}
	c.finish(events)
	return c.lost, c.repeated
}
