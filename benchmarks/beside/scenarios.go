package main

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
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
}

func fullSize() size {
	return size{5, 1000, []int{10, 100, 1000}, 3 * time.Second, []int{2000, 10_000}, [2]int{1000, 18_000}, 10_000, 50}
}

func quickSize() size {
	return size{1, 1000, []int{10, 100, 1000}, time.Second, []int{2000}, [2]int{500, 4000}, 4000, 20}
}

// turn is what one turn of one library found.
type turn struct {
	rates, bursts []load
	idle          float64 // bytes a stream
	alone, beside float64 // ns of a commit without followers and with them
}

// results are the turns by library, in the order of the libraries.
type results struct {
	size  size
	names []string
	turns [][]turn
}

func measure(s size, libraries []peers.Library) (*results, error) {
	r := &results{size: s, turns: make([][]turn, len(libraries))}
	for _, l := range libraries {
		r.names = append(r.names, l.Name)
	}
	for run := range s.runs {
		for i, l := range libraries {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", run+1, s.runs, l.Name)
			var t turn
			for _, part := range []func(size, *process, *turn) error{everyday, bursts, idle, commits} {
				if err := inProcess(l, func(p *process) error { return part(s, p, &t) }); err != nil {
					return nil, fmt.Errorf("%s: %w", l.Name, err)
				}
			}
			r.turns[i] = append(r.turns[i], t)
		}
	}
	return r, nil
}

// inProcess runs f with a server of its own.
func inProcess(l peers.Library, f func(*process) error) error {
	p, err := start(l)
	if err != nil {
		return err
	}
	return cmp.Or(f(p), p.stop())
}

// everyday is an event now and then, to many clients.
func everyday(s size, p *process, t *turn) error {
	if err := p.connect(s.clients, 16<<10); err != nil {
		return err
	}
	from := 0
	for _, rate := range s.rates {
		n := max(10, int(s.lasting.Seconds()*float64(rate)))
		l, err := p.publish(from, n, rate)
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
	if err := p.connect(100, 64<<10); err != nil {
		return err
	}
	from := 0
	for _, n := range s.bursts {
		l, err := p.publish(from, n, 0)
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
	var u [2]usage
	for i, n := range s.idle {
		err := p.connect(n, 2<<10)
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
	if err := p.ask(http.MethodPost, path, &t.alone); err != nil {
		return err
	}
	if err := p.connect(s.waiting, 2<<10); err != nil {
		return err
	}
	return p.ask(http.MethodPost, path, &t.beside)
}

// median sorts x, which must not be empty.
func median[T cmp.Ordered](x []T) T {
	slices.Sort(x)
	return x[len(x)/2]
}
