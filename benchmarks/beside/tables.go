package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
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

// having returns the libraries that have such a figure.
func (r *results) having(figure func(turn) float64) (libraries []int) {
	for i := range r.names {
		if r.of(i, figure) != 0 {
			libraries = append(libraries, i)
		}
	}
	return libraries
}

// table writes a table of the libraries that have the first figure, unless
// there is none.
func (r *results) table(b *strings.Builder, title string, columns ...column) {
	libraries := r.having(columns[0].figure)
	if len(libraries) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n|", title)
	for _, c := range columns {
		fmt.Fprintf(b, " | %s", c.name)
	}
	fmt.Fprintf(b, " |\n%s|\n", strings.Repeat("|---", len(columns)+1))
	for _, i := range libraries {
		fmt.Fprintf(b, "| %s", r.names[i])
		for _, c := range columns {
			value := r.of
			if c.ratio {
				value = r.ratio
			}
			fmt.Fprintf(b, " | "+c.format, value(i, c.figure))
		}
		b.WriteString(" |\n")
	}
}

// column is a figure of each library: the median over its turns, or that of
// its ratios to the limit.
type column struct {
	name, format string
	ratio        bool
	figure       func(turn) float64
}

// text is the document.
func (r *results) text() string {
	var b strings.Builder
	b.WriteString("# A frame and a stream beside other libraries\n\n" +
		"Written by `benchmarks/beside`: `make bench`, or `make bench-quick` if it is one run. The server is a process of its own, whose CPU time and memory\n" +
		"these are; the client is another on the same machine, on which other things may run, and reads all its sockets in one thread. The libraries take\n" +
		"turns; bare is a handler of net/http that writes frames which are ready. Trust the ratios: each is to the bare handler in the same run. Unless it\n" +
		"says otherwise one publisher waits for each event: on bbolt for its commit. Memory and the publish that many wait for are of the first run alone.\n\n")
	fmt.Fprintf(&b, "%d %s, %d cores, %s. Versions and settings: [ADR 44](../adr/0044-sse-peers.md).\n", r.size.runs, runs(r.size.runs), runtime.NumCPU(), runtime.Version())
	for i, rate := range r.size.rates {
		r.table(&b, fmt.Sprintf("%d events a second to each of %d clients", rate, r.size.clients), loads(func(t turn) load { return at(t.rates, i) })...)
	}
	for i, n := range r.size.bursts {
		r.table(&b, fmt.Sprintf("A burst of %d events to 100 clients", n), loads(func(t turn) load { return at(t.bursts, i) })...)
	}
	r.table(&b, "Appends by 32 at once, each of which waits for the disk, to 100 clients", durable()...)
	r.table(&b, fmt.Sprintf("One client that asks for %d events", r.size.history), history()...)
	r.table(&b, fmt.Sprintf("%d live clients while %d others come back to %d events each, again and again", liveClients, stormClients, stormEvents), inStorm()...)
	idle := func(t turn) float64 { return t.idle / 1024 }
	r.table(&b, fmt.Sprintf("Memory of a stream that waits, as the slope from %d to %d", r.size.idle[0], r.size.idle[1]),
		column{"a stream", "%.1f KB", false, idle}, column{"× bare", "%.2f", true, idle})
	r.table(&b, fmt.Sprintf("A publish that %d streams wait for", r.size.waiting),
		column{"with them", "%.1f µs", false, func(t turn) float64 { return t.beside / 1000 }},
		column{"without", "%.1f µs", false, func(t turn) float64 { return t.alone / 1000 }})
	return b.String()
}

func runs(n int) string {
	if n == 1 {
		return "run"
	}
	return "runs, of which these are the medians"
}

// at is x[i], or nothing where that was not measured.
func at(x []load, i int) (l load) {
	if i < len(x) {
		l = x[i]
	}
	return l
}

func loads(of func(turn) load) []column {
	cpu := func(t turn) float64 { return of(t).cpu }
	return []column{
		{"CPU a frame", "%.0f ns", false, cpu},
		{"× bare", "%.2f", true, cpu},
		{"allocations a frame", "%.2f", false, func(t turn) float64 { return of(t).allocs }},
		{"frames/s", "%.0f", false, func(t turn) float64 { return perSecond(of(t).frames, of(t).wall) }},
		{"not there in time", "%.1f %%", false, func(t turn) float64 { return of(t).missing() }},
	}
}

func durable() []column {
	return []column{
		{"events/s", "%.0f", false, func(t turn) float64 { return perSecond(t.durable.events, t.durable.wall) }},
		{"CPU a frame", "%.0f ns", false, func(t turn) float64 { return t.durable.cpu }},
		{"not there in time", "%.1f %%", false, func(t turn) float64 { return t.durable.missing() }},
	}
}

func history() []column {
	rate := func(t turn) float64 { return perSecond(t.replay.frames, t.replay.wall) }
	return []column{
		{"events/s", "%.0f", false, rate},
		{"× bare", "%.2f", true, rate},
		{"CPU a frame", "%.0f ns", false, func(t turn) float64 { return t.replay.cpu }},
		{"memory before", "%.1f MB", false, func(t turn) float64 { return float64(t.replay.before) / (1 << 20) }},
		{"at most during", "%.1f MB", false, func(t turn) float64 { return float64(t.replay.during) / (1 << 20) }},
	}
}

func inStorm() []column {
	return []column{
		{"p99 of the delay in quiet", "%.2f ms", false, func(t turn) float64 { return 1000 * t.quiet.Seconds() }},
		{"in the storm", "%.2f ms", false, func(t turn) float64 { return 1000 * t.storm.Seconds() }},
	}
}

func perSecond(n int64, wall time.Duration) float64 {
	if wall == 0 {
		return 0
	}
	return float64(n) / wall.Seconds()
}
