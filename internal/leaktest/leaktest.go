// Package leaktest fails a package's tests if goroutines are still running
// when they have ended: whoever starts a goroutine must wait for its end.
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Grace is how long goroutines that are about to end are waited for.
const Grace = 5 * time.Second

// Main runs the tests and ends the process. It fails if they passed but left
// goroutines behind, and prints the stack of each. Those that a library leaves
// behind by itself are told apart by what foreign begins their stacks with.
func Main(m interface{ Run() int }, foreign ...string) { os.Exit(run(m, os.Stderr, foreign...)) }

func run(m interface{ Run() int }, w io.Writer, foreign ...string) int {
	code := m.Run()
	if code != 0 || fuzzing() {
		return code
	}
	leaked := Leaked(Grace, foreign...)
	if len(leaked) == 0 {
		return 0
	}
	fmt.Fprintf(w, "leaktest: %d goroutines are still running %v after the last test: wait for each where it is started\n\n%s\n",
		len(leaked), Grace, strings.Join(leaked, "\n\n"))
	return 1
}

// Leaked returns the stacks of the goroutines that are neither the caller nor
// part of the runtime, of testing and of what is foreign, once there are none or
// grace has passed.
func Leaked(grace time.Duration, foreign ...string) []string {
	deadline := time.Now().Add(grace)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		stacks := interesting(foreign)
		if len(stacks) == 0 || time.Now().After(deadline) {
			return stacks
		}
		time.Sleep(pause)
	}
}

// fuzzing reports whether the fuzzing engine runs, which keeps goroutines.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// background are the first frames of goroutines that no test started.
var background = []string{
	"os/signal.signal_recv(",
	"os/signal.loop(",
	"runtime.ensureSigM.",
	"runtime/trace.",
	"runtime/pprof.",
	"testing.(*T).Run(",
	"testing.runFuzzing(",
}

func interesting(foreign []string) []string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	var stacks []string
	// The first stack is the caller's own.
	for _, stack := range strings.Split(strings.TrimSpace(string(buf)), "\n\n")[1:] {
		_, frames, _ := strings.Cut(stack, "\n")
		if !startsWithAny(frames, background) && !startsWithAny(frames, foreign) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func startsWithAny(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
