package sqllog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// TestSQLiteConnectionsAreFreedOutsideTransactions ends the context of appends at
// every moment. The driver says that a BEGIN failed which succeeded as its context
// ended: whoever has the connection next was in a transaction that is not his.
func TestSQLiteConnectionsAreFreedOutsideTransactions(t *testing.T) {
	l, db := sqliteVariant.fresh(t)
	db.SetMaxOpenConns(1)
	ended := 0
	for begun := time.Now(); time.Since(begun) < 2*time.Second && !t.Failed(); {
		for after := range 60 {
			ctx, cancel := context.WithCancel(t.Context())
			stop := time.AfterFunc(time.Duration(after)*5*time.Microsecond, cancel)
			_, err := l.Append(ctx, cdc.Event{})
			stop.Stop()
			cancel()
			if err != nil {
				ended++
				if !errors.Is(err, context.Canceled) {
					t.Errorf("append: %v", err)
				}
			}
			if _, err := db.ExecContext(t.Context(), "BEGIN; ROLLBACK"); err != nil {
				t.Errorf("the next to use the connection: %v", err)
				_, _ = db.ExecContext(t.Context(), "ROLLBACK")
			}
		}
	}
	if ended == 0 {
		t.Error("no append was ended")
	}
}
