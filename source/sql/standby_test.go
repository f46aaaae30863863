package sqllog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestFailoverToAStandby promotes a hot standby that lacks what the primary has
// acknowledged last, and that a stream has delivered.
func TestFailoverToAStandby(t *testing.T) {
	for _, mode := range []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			primary := testserver.StartPostgres(t)
			standby := testserver.StartStandby(t, primary)
			onStandby := connect(t, "postgres", standby.DSN("postgres"))
			proxy := testserver.StartProxy(t, primary.Port)
			opts := sqllog.Options{Mode: mode, ListenDSN: primary.DSNAt(proxy.Port, "postgres")}
			l := openLog(t, connect(t, "postgres", primary.DSNAt(proxy.Port, "postgres")), opts)

			receipt := appendIDs(t, l, 1, 10)
			await(t, "the standby to have 10 events", func() bool { return count(t, onStandby) == 10 })
			if _, err := sqllog.Open(t.Context(), onStandby, "change_log", &sqllog.Options{Mode: mode}); err == nil || !strings.Contains(err.Error(), "the server is a replica") {
				t.Errorf("Open on the standby: got %v", err)
			}
			stopReceiving(t, onStandby)
			appendIDs(t, l, 11, 15)

			promote := sync.OnceFunc(func() {
				primary.Kill()
				mustExec(t, onStandby, "SELECT pg_promote()")
				proxy.Point(fmt.Sprint("127.0.0.1:", standby.Port))
				proxy.Cut()
			})
			seen, end := followUntil(t, l, 15, promote)
			if reset, ok := errors.AsType[*cdc.ResetError](end); !ok || len(seen) != 15 || reset.Resume.Epoch == receipt.Epoch {
				t.Fatalf("saw %v, then %v, want 15 events and a reset", seen, end)
			}
			after := appendIDs(t, l, 16, 16)
			events := readAll(t, l, cdc.Cursor{Epoch: after.Epoch})
			if n := len(events); after.Epoch == receipt.Epoch || n != 11 || events[n-1].ID != "e16" {
				t.Errorf("got %d events of epoch %s, the last was of %s", n, after.Epoch, receipt.Epoch)
			}
		})
	}
}

// stopReceiving has the standby get nothing from now on.
func stopReceiving(t *testing.T, standby *sqlx.DB) {
	t.Helper()
	mustExec(t, standby, "ALTER SYSTEM SET primary_conninfo = ''")
	mustExec(t, standby, "SELECT pg_reload_conf()")
	await(t, "the standby to stop", func() bool {
		var n int
		return standby.Get(&n, "SELECT count(*) FROM pg_stat_wal_receiver") == nil && n == 0
	})
}

// followUntil follows from the beginning to the end, and calls then when n
// events were seen.
func followUntil(t *testing.T, l *sqllog.Log, n int, then func()) (seen []string, end error) {
	t.Helper()
	for batch, err := range cdc.Follow(t.Context(), l, cdc.Beginning(), &cdc.FollowOptions{Heartbeat: 20 * time.Millisecond}) {
		if err != nil {
			return seen, err
		}
		for _, e := range batch.Events {
			seen = append(seen, e.ID)
		}
		if len(seen) == n {
			then()
		}
	}
	return seen, nil
}

// appendIDs appends events with the IDs e<from> to e<to>, each until it is known.
func appendIDs(t *testing.T, l *sqllog.Log, from, to int) cdc.Receipt {
	t.Helper()
	var r cdc.Receipt
	for i := from; i <= to; i++ {
		await(t, "an append", func() bool {
			var err error
			r, err = l.Append(t.Context(), cdc.Event{ID: fmt.Sprint("e", i)})
			return err == nil
		})
	}
	return r
}

func count(t *testing.T, db *sqlx.DB) (n int) {
	t.Helper()
	_ = db.Get(&n, "SELECT (SELECT count(*) FROM change_log)") // the table may not be there yet
	return n
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
