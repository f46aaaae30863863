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
	if len(os.Args) == 4 && os.Args[1] == serverCommand {
		exit(runServer(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// What measures the libraries works, and loses nothing itself.
func TestLibrariesAreMeasured(t *testing.T) {
	s := size{1, 20, []int{100}, 100 * time.Millisecond, []int{50}, [2]int{5, 10}, 5, 2, 100 * time.Millisecond, 1000, time.Second}
	mercure, err := buildMercure(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := measure(s, choice{libraries: []peers.Library{peers.Bare, peers.GaplessBolt, mercure}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range r.names {
		got := r.turns[i][0]
		loads := append(got.rates, got.bursts...)
		if name != peers.Bare.Name {
			loads = append(loads, got.durable)
		}
		for _, l := range loads {
			if l.lost != 0 || l.cpu <= 0 {
				t.Errorf("%s: %d of %d frames did not arrive, for %.0f ns each", name, l.lost, l.lost+l.frames, l.cpu)
			}
		}
		if got.alone <= 0 || got.beside <= 0 {
			t.Errorf("%s: a publish took %v ns without followers and %v with them", name, got.alone, got.beside)
		}
		if name != mercure.Name && (got.replay.frames != int64(s.history) || got.quiet <= 0 || got.storm <= 0) {
			t.Errorf("%s: a replay had %d events; delays were %v and %v", name, got.replay.frames, got.quiet, got.storm)
		}
	}
	if text := r.text(); strings.Contains(text, "NaN") || strings.Count(text, "| gapless-bolt |") != 7 || strings.Count(text, "| mercure |") != 5 {
		t.Errorf("the document is\n%s", text)
	}
	if chart := r.chart(); strings.Contains(chart, "NaN") || strings.Count(chart, "<rect") != 4 {
		t.Errorf("the chart is\n%s", chart)
	}
}
