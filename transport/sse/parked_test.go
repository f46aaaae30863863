package sse_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// parkAll makes every test of this package use Limits.Park.
const parkAll = "GAPLESS_SSE_PARK"

func parking() bool { return os.Getenv(parkAll) != "" }

// skipUnseen skips a test of a middleware that does not see a stream that is
// parked after its beginning, and has not set a deadline by its name.
func skipUnseen(t *testing.T, name string) {
	if parking() && !strings.HasPrefix(name, "context.WithTimeout") {
		t.Skip("such a middleware sees the request end when the stream begins")
	}
}

// TestSuiteWithParkedStreams runs what of this package's tests depends on how a
// stream is served, a second time; all of them with GAPLESS_SOAK=1.
func TestSuiteWithParkedStreams(t *testing.T) {
	if parking() {
		t.Skip("it is this one")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := "Conformance|Drain|ShutdownDuring|Reset|EndStreams|Expires|MaxAge|HalfClosed|HalfOpen|Panics|Status|Deadline|BeatsAndAges|ReadTimeout|" +
		"StuckClientIsCut|Checkpoints|Outage|Heartbeats|Retention|CORS|Remote|Proxy|HTTP2"
	if os.Getenv("GAPLESS_SOAK") != "" {
		run = "."
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", run, "-test.skip", "Parked|Cost")
	cmd.Env = append(os.Environ(), parkAll+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// newHandler is sse.NewHandler, with Limits.Park if the environment says so.
func newHandler(log cdc.Log, opts *sse.Options) (*sse.Handler, error) {
	if !parking() {
		return sse.NewHandler(log, opts)
	}
	var o sse.Options
	if opts != nil {
		o = *opts
	}
	o.Limits.Park = true
	return sse.NewHandler(log, &o)
}
