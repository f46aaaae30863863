// Command beside measures what a stream and a frame cost a server: ours, other
// libraries, and the limit, a bare handler of net/http. Each server is a process
// of its own, whose CPU time and memory are its own; this process is the client.
// The libraries take turns, so that all see the same machine.
//
//	go run ./beside -write ../docs/results/everyday.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/benchmarks/peers"
)

// libraries are measured in this order, and then mercure; the first is the limit.
func libraries() []peers.Library {
	return []peers.Library{
		peers.Bare, peers.Gapless, peers.GaplessEnvelope, peers.GaplessBolt,
		peers.GoSSE, peers.R3labs, peers.LaunchDarkly, peers.Centrifuge,
	}
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == serverCommand {
		exit(runServer(os.Args[2], os.Args[3]))
	}
	var c choice
	quick := flag.Bool("quick", false, "one short turn for each library, a few minutes in all")
	write := flag.String("write", "", "the file to write the tables to, and a chart beside it as .svg; empty is the standard output")
	only := flag.String("only", "", "the libraries to measure beside the limit, separated by commas; empty is all")
	chosen := flag.String("parts", "", "the parts to measure, separated by commas: everyday, bursts, idle, commits, durable, replay, storm; empty is all")
	runs := flag.Int("runs", 0, "how many turns each library has; 0 is 5, or 1 if it is quick")
	flag.StringVar(&c.profiles, "profiles", "", "the folder to write CPU profiles of the servers to; empty is none")
	flag.Parse()
	size := fullSize()
	if *quick {
		size = quickSize()
	}
	if *runs > 0 {
		size.runs = *runs
	}
	if *chosen != "" {
		c.parts = strings.Split(*chosen, ",")
	}
	exit(run(size, c, *only, *write))
}

// run measures the libraries that only names, and writes the tables to the file,
// or prints them.
func run(s size, c choice, only, file string) error {
	dir, err := os.MkdirTemp("", "beside")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	mercure, err := buildMercure(dir)
	if err != nil {
		return err
	}
	c.libraries = slices.DeleteFunc(append(libraries(), mercure), func(l peers.Library) bool {
		return only != "" && l.Name != peers.Bare.Name && !slices.Contains(strings.Split(only, ","), l.Name)
	})
	r, err := measure(s, c)
	if err != nil {
		return err
	}
	if file == "" {
		fmt.Print(r.text())
		return nil
	}
	chart := strings.TrimSuffix(file, ".md") + ".svg"
	return errors.Join(os.WriteFile(file, []byte(r.text()), 0o644), os.WriteFile(chart, []byte(r.chart()), 0o644)) //nolint:gosec // documents
}

// exit ends the process, with what went wrong if err is not nil.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "beside:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
