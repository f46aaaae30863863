package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers"
)

// TestMain makes the test binary a server, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serverCommand {
		exit(runServer(os.Args[2]))
	}
	os.Exit(m.Run())
}

// What measures the libraries works, and loses nothing itself.
func TestLibrariesAreMeasured(t *testing.T) {
	s := size{1, 20, []int{100}, 100 * time.Millisecond, []int{50}, [2]int{5, 10}, 5, 2}
	r, err := measure(s, []peers.Library{peers.Bare, peers.Gapless})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range r.names {
		got := r.turns[i][0]
		for _, l := range append(got.rates, got.bursts...) {
			if l.lost != 0 || l.cpu <= 0 {
				t.Errorf("%s: %d of %d frames did not arrive, for %.0f ns each", name, l.lost, l.lost+l.frames, l.cpu)
			}
		}
		if got.alone <= 0 || got.beside <= 0 {
			t.Errorf("%s: a publish took %v ns without followers and %v with them", name, got.alone, got.beside)
		}
	}
	if text := r.text(); strings.Contains(text, "NaN") || strings.Count(text, "| gapless |") != 3 {
		t.Errorf("the document is\n%s", text)
	}
}
