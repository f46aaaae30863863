// Package testserver starts private database servers for tests from the
// binaries that are installed: each on a free loopback port and in a temporary
// folder, ended with the test. It never touches a server that it did not start.
package testserver

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Missing ends the test because the named server cannot be started here: it is
// a visible skip, or a failure if GAPLESS_REQUIRE (a comma-separated list)
// names the server or "all".
func Missing(tb testing.TB, name, reason string) {
	tb.Helper()
	required := strings.Split(os.Getenv("GAPLESS_REQUIRE"), ",")
	if slices.Contains(required, name) || slices.Contains(required, "all") {
		tb.Fatalf("%s is required by GAPLESS_REQUIRE but cannot be started: %s", name, reason)
	}
	tb.Skipf("%s cannot be started: %s", name, reason)
}
