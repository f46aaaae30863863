package main

import (
	"fmt"
	"runtime"
	"strings"
)

// of returns the median over the turns of a library.
func (r *results) of(library int, figure func(turn) float64) float64 {
	x := make([]float64, 0, len(r.turns[library]))
	for _, t := range r.turns[library] {
		x = append(x, figure(t))
	}
	return median(x)
}

// ratio returns the median of the ratios to the limit, which had the turn before.
func (r *results) ratio(library int, figure func(turn) float64) float64 {
	x := make([]float64, 0, len(r.turns[library]))
	for i, t := range r.turns[library] {
		x = append(x, figure(t)/figure(r.turns[0][i]))
	}
	return median(x)
}

// text is the document.
func (r *results) text() string {
	var b strings.Builder
	b.WriteString("# A frame and a stream beside other libraries\n\n" +
		"Written by `benchmarks/beside`: `make bench`, or `make bench-quick` if it is one run. The server is a process of its own, whose CPU time and memory\n" +
		"these are; the client is another on the same machine, on which other things may run. The libraries take turns; bare is a handler of net/http that\n" +
		"writes frames which are ready. Trust the ratios: each is to the bare handler in the same run. All have one publisher, which waits for each event: on\n" +
		"bbolt for its commit.\n\n")
	fmt.Fprintf(&b, "%d %s, %d cores, %s. Versions and settings: [ADR 44](../adr/0044-sse-peers.md).\n", r.size.runs, runs(r.size.runs), runtime.NumCPU(), runtime.Version())
	for i, rate := range r.size.rates {
		fmt.Fprintf(&b, "\n## %d events a second to each of %d clients\n\n", rate, r.size.clients)
		r.loads(&b, func(t turn) load { return t.rates[i] })
	}
	for i, n := range r.size.bursts {
		fmt.Fprintf(&b, "\n## A burst of %d events to 100 clients\n\n", n)
		r.loads(&b, func(t turn) load { return t.bursts[i] })
	}
	r.streams(&b)
	return b.String()
}

func runs(n int) string {
	if n == 1 {
		return "run"
	}
	return "runs, of which these are the medians"
}

func (r *results) loads(b *strings.Builder, of func(turn) load) {
	b.WriteString("| | CPU a frame | × bare | allocations a frame | frames/s | not there in time |\n|---|---|---|---|---|---|\n")
	cpu := func(t turn) float64 { return of(t).cpu }
	for i, name := range r.names {
		fmt.Fprintf(b, "| %s | %.0f ns | %.2f | %.2f | %.0f | %.1f %% |\n", name, r.of(i, cpu), r.ratio(i, cpu),
			r.of(i, func(t turn) float64 { return of(t).allocs }),
			r.of(i, func(t turn) float64 { return float64(of(t).frames) / of(t).wall.Seconds() }),
			r.of(i, func(t turn) float64 { return 100 * float64(of(t).lost) / float64(of(t).lost+of(t).frames) }))
	}
}

func (r *results) streams(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Streams that wait\n\nMemory is the slope from %d to %d streams. A publish has %d streams that wait for it, or none.\n\n"+
		"| | memory a stream | above bare | a publish | without streams |\n|---|---|---|---|---|\n", r.size.idle[0], r.size.idle[1], r.size.waiting)
	idle := func(t turn) float64 { return t.idle / 1024 }
	for i, name := range r.names {
		fmt.Fprintf(b, "| %s | %.1f KB | %.1f KB | %.1f µs | %.1f µs |\n", name, r.of(i, idle), r.of(i, idle)-r.of(0, idle),
			r.of(i, func(t turn) float64 { return t.beside / 1000 }), r.of(i, func(t turn) float64 { return t.alone / 1000 }))
	}
}
