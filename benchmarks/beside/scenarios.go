package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// size is how much is measured.
type size struct {
	runs    int
	clients int           // of the everyday case
	rates   []int         // events a second, to each client
	lasting time.Duration // of each rate
	bursts  []int         // events at once, to a hundred clients
	idle    [2]int        // streams, of which the difference is measured
	waiting int           // followers of the commits
	commits int
	durable time.Duration // of appends that wait for the disk
	history int           // events that one client asks for
	storm   time.Duration // of live events in quiet, and in the storm
}

func fullSize() size {
	return size{5, 1000, []int{10, 100, 1000}, 3 * time.Second, []int{2000, 10_000}, [2]int{1000, 18_000}, 10_000, 50, 3 * time.Second, 1_000_000, 5 * time.Second}
}

func quickSize() size {
	return size{1, 1000, []int{10, 100, 1000}, time.Second, []int{2000}, [2]int{500, 4000}, 4000, 20, time.Second, 200_000, 2 * time.Second}
}

// turn is what one turn of one library found.
type turn struct {
	rates, bursts []load
	idle          float64 // bytes a stream
	alone, beside float64 // ns of a commit without followers and with them
	durable       load
	replay        replayed
	quiet, storm  time.Duration // p99 of the delay of live clients
}

// results are the turns by library, in the order of the libraries.
type results struct {
	size  size
	names []string
	turns [][]turn
}

// part measures one thing, with a server of its own that keeps so many events.
type part struct {
	name string
	keep int
	once bool                     // and not in each turn: it takes long, and hardly differs
	of   func(peers.Library) bool // nil: all
	run  func(size, *process, *turn) error
}

func parts(s size) []part {
	durable := func(l peers.Library) bool { return l.Durable }
	return []part{
		{"everyday", keep, false, nil, everyday},
		{"bursts", keep, false, nil, bursts},
		{"idle", keep, true, nil, idle},
		{"commits", keep, true, nil, commits},
		{"durable", keep, false, durable, appends},
		{"replay", s.history, false, nil, replay},
		{"storm", keep, false, nil, storm},
	}
}

// choice is what of all is measured.
type choice struct {
	libraries []peers.Library
	parts     []string // empty: all
	profiles  string   // folder for CPU profiles of the servers; empty: none are written
}

func measure(s size, c choice) (*results, error) {
	r := &results{size: s, turns: make([][]turn, len(c.libraries))}
	for _, l := range c.libraries {
		r.names = append(r.names, l.Name)
	}
	for run := range s.runs {
		for i, l := range c.libraries {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", run+1, s.runs, l.Name)
			var t turn
			if run > 0 {
				first := r.turns[i][0]
				t.idle, t.alone, t.beside = first.idle, first.alone, first.beside
			}
			for _, part := range parts(s) {
				if len(c.parts) > 0 && !slices.Contains(c.parts, part.name) || part.of != nil && !part.of(l) || part.once && run > 0 {
					continue
				}
				if err := inProcess(l, part.keep, func(p *process) error {
					return p.profile(c.profiles, fmt.Sprintf("%s-%s-%d", part.name, l.Name, run+1), func() error { return part.run(s, p, &t) })
				}); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", l.Name, part.name, err)
				}
			}
			r.turns[i] = append(r.turns[i], t)
		}
	}
	return r, nil
}

// inProcess runs f with a server of its own.
func inProcess(l peers.Library, keep int, f func(*process) error) error {
	p, err := start(l, keep)
	if err != nil {
		return err
	}
	return cmp.Or(f(p), p.stop())
}

// everyday is an event now and then, to many clients.
func everyday(s size, p *process, t *turn) error {
	if err := p.connect(p.clients, s.clients); err != nil {
		return err
	}
	from := 0
	for _, rate := range s.rates {
		n := max(10, int(s.lasting.Seconds()*float64(rate)))
		l, err := p.publish(control.Load{From: from, N: n, Rate: rate, Most: 2 * s.lasting})
		if err != nil {
			return err
		}
		from += n
		t.rates = append(t.rates, l)
	}
	return nil
}

// bursts are as many events as can be published, to a hundred clients.
func bursts(s size, p *process, t *turn) error {
	if err := p.connect(p.clients, 100); err != nil {
		return err
	}
	from := 0
	for _, n := range s.bursts {
		l, err := p.publish(control.Load{From: from, N: n, Most: 10 * time.Second})
		if err != nil {
			return err
		}
		from += n
		t.bursts = append(t.bursts, l)
	}
	return nil
}

// idle is the memory of a stream on which nothing happens.
func idle(s size, p *process, t *turn) error {
	var u [2]control.Usage
	for i, n := range s.idle {
		err := p.connect(p.clients, n)
		if err == nil {
			u[i], err = p.usage("1")
		}
		if err != nil {
			return err
		}
	}
	t.idle = float64(u[1].Resident-u[0].Resident) / float64(s.idle[1]-s.idle[0])
	return nil
}

// commits are publishes, each when all followers wait.
func commits(s size, p *process, t *turn) error {
	path := fmt.Sprintf("/commits?n=%d", s.commits)
	if err := p.ask("POST", path, &t.alone); err != nil {
		return err
	}
	if err := p.connect(p.clients, s.waiting); err != nil {
		return err
	}
	return p.ask("POST", path, &t.beside)
}

// appends are of 32 appenders, each of which waits for the disk, to a hundred clients.
func appends(s size, p *process, t *turn) error {
	err := p.connect(p.clients, 100)
	if err == nil {
		t.durable, err = p.publish(control.Load{N: keep, Most: s.durable, Appenders: 32})
	}
	return err
}

// median sorts x, which must not be empty.
func median[T cmp.Ordered](x []T) T {
	slices.Sort(x)
	return x[len(x)/2]
}
