// Command beside measures what a stream and a frame cost a server: ours, other
// libraries, and the limit, a bare handler of net/http. Each server is a process
// of its own, whose CPU time and memory are its own; this process is the client.
// The libraries take turns, so that all see the same machine.
//
//	go run ./beside -write ../docs/results/everyday.md
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/gapless-go/gapless/benchmarks/peers"
)

// libraries are measured in this order; the first is the limit.
func libraries() []peers.Library {
	return []peers.Library{
		peers.Bare, peers.Gapless, peers.GaplessEnvelope, peers.GaplessBolt,
		peers.GoSSE, peers.R3labs, peers.LaunchDarkly, peers.Centrifuge,
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == serverCommand {
		exit(runServer(os.Args[2]))
	}
	quick := flag.Bool("quick", false, "one short turn for each library, about three minutes in all")
	write := flag.String("write", "", "the file to write the tables to; empty is the standard output")
	flag.Parse()
	size := fullSize()
	if *quick {
		size = quickSize()
	}
	r, err := measure(size, libraries())
	if err != nil {
		exit(err)
	}
	if *write == "" {
		fmt.Print(r.text())
		return
	}
	exit(os.WriteFile(*write, []byte(r.text()), 0o644)) //nolint:gosec // a document
}

// exit ends the process, with what went wrong if err is not nil.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "beside:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
