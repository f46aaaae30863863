package sqllog_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestConformanceThroughAPooler runs the suite through PgBouncer, which gives each
// transaction whichever connection is free: whole and in both modes that stand it
// with GAPLESS_SOAK.
func TestConformanceThroughAPooler(t *testing.T) {
	t.Parallel()
	modes := []sqllog.Mode{sqllog.Sequencer}
	if os.Getenv("GAPLESS_SOAK") != "" {
		modes = append(modes, sqllog.AtCommit)
	}
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			h := harness(t, variant{"postgres/" + string(mode), sqllog.Options{Mode: mode}, pooledPostgres})
			h.Sever = nil // its proxy is not on the way
			runPart(t, h, "Committed", "Ordered", "Atomic", "Idempotent", "Durable", "Live", "Contained")
		})
	}
}

func pooledPostgres(tb testing.TB) (driver, dsn string) {
	tb.Helper()
	driver, dsn = freshPostgres(tb)
	server := shared.postgres
	pooler := testserver.StartPgBouncer(tb, server)
	return driver, strings.Replace(dsn, fmt.Sprint("port=", server.Port), fmt.Sprint("port=", pooler), 1) + " binary_parameters=yes"
}
