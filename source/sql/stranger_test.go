package sqllog_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// manyHandles append and read side by side on handles of their own, and report
// every error.
func manyHandles(t *testing.T, v variant, driver, dsn string) {
	t.Helper()
	const handles, appends = 4, 25
	var wg sync.WaitGroup
	for h := range handles {
		db := connect(t, driver, dsn)
		wg.Go(func() {
			l, err := sqllog.Open(t.Context(), db, "change_log", &v.opts)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer l.Close()
			for i := range appends {
				id := fmt.Sprint(h, " ", i)
				for err = errors.New("first try"); err != nil && t.Context().Err() == nil; { // strict transactions fail, idle connections are cut
					var tx *sqlx.Tx
					if tx, err = db.BeginTxx(t.Context(), nil); err != nil {
						continue
					}
					if err = l.AppendTx(t.Context(), tx, cdc.Event{ID: id}); err == nil {
						err = tx.Commit()
					}
					_ = tx.Rollback()
				}
				for again := true; again; again = errors.Is(err, cdc.ErrUnknownOutcome) || strings.Contains(fmt.Sprint(err), "connection reset") {
					_, err = l.Append(t.Context(), cdc.Event{ID: id + " alone"})
				}
				if err != nil {
					t.Errorf("append: %v", err)
				}
				if _, err := l.Bounds(t.Context()); err != nil {
					t.Errorf("bounds: %v", err)
				}
			}
		})
	}
	wg.Wait()
	l := openLog(t, connect(t, driver, dsn), v.opts)
	if got := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}); len(got) != 2*handles*appends {
		t.Errorf("got %d events, want %d", len(got), 2*handles*appends)
	}
}

// TestServersWithStrictDefaults: what the database does by default for every
// transaction must not disturb the log.
func TestServersWithStrictDefaults(t *testing.T) {
	for _, v := range variants[:3] {
		for _, setting := range []string{"default_transaction_isolation='serializable'", "default_transaction_isolation='repeatable read'", "idle_session_timeout=50", "idle_in_transaction_session_timeout=2000", "binary_parameters=yes"} {
			t.Run(v.name+"/"+setting, func(t *testing.T) {
				t.Parallel()
				driver, dsn := v.open(t)
				manyHandles(t, v, driver, dsn+" "+setting)
			})
		}
	}
	for _, setting := range []string{"tx_isolation='SERIALIZABLE'", "tx_isolation='REPEATABLE-READ'", "sql_mode='ANSI,NO_BACKSLASH_ESCAPES'", "clientFoundRows=true&parseTime=true&loc=Asia%2FKolkata", "interpolateParams=true"} {
		t.Run("mariadb/"+setting, func(t *testing.T) {
			t.Parallel()
			driver, dsn := freshMariaDB(t)
			manyHandles(t, variants[3], driver, dsn+"?"+setting)
		})
	}
}

func TestSQLiteWithoutAnySettings(t *testing.T) {
	file := "file:" + filepath.Join(t.TempDir(), "bare.db")
	for _, dsn := range []string{file, file + "?_pragma=journal_mode(DELETE)&_txlock=immediate&_pragma=busy_timeout(10000)"} {
		t.Run(dsn[len(file):], func(t *testing.T) {
			const handles, appends = 4, 25
			var wg sync.WaitGroup
			for range handles {
				db := connect(t, "sqlite", dsn)
				wg.Go(func() {
					l, err := sqllog.Open(t.Context(), db, "change_log", nil)
					if err != nil {
						t.Errorf("open: %v", err)
						return
					}
					defer l.Close()
					for range appends {
						if _, err := l.Append(t.Context(), cdc.Event{}); err != nil {
							t.Errorf("append: %v", err)
						}
						if _, err := l.Bounds(t.Context()); err != nil {
							t.Errorf("bounds: %v", err)
						}
						if _, err := l.Trim(t.Context(), 1); err != nil {
							t.Errorf("trim: %v", err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestRowsThatOthersRemoveAreAReset on every dialect and by every statement:
// whoever had read less is told, whoever had read more goes on.
func TestRowsThatOthersRemoveAreAReset(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		for _, removal := range []struct {
			statement string
			floor     int // index of the highest event that is gone
		}{
			{"DELETE FROM change_log WHERE seq <= (SELECT * FROM (SELECT min(seq) + 3 FROM change_log) x)", 3},
			{"DELETE FROM change_log WHERE seq = (SELECT * FROM (SELECT min(seq) + 5 FROM change_log) x)", 5},
			{"DELETE FROM change_log WHERE seq > (SELECT * FROM (SELECT max(seq) - 2 FROM change_log) x)", 9},
			{"DELETE FROM change_log", 9},
			{"TRUNCATE TABLE change_log", 9},
		} {
			if v.name == "sqlite" && strings.HasPrefix(removal.statement, "TRUNCATE") {
				continue
			}
			l, db := v.fresh(t)
			r, err := l.Append(t.Context(), make([]cdc.Event, 10)...)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, removal.statement)
			for _, handle := range []*sqllog.Log{l, openLog(t, db, v.opts)} {
				for _, limit := range []int{1, 3, 100} {
					from := r.Seqs[0]
					_, err := handle.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: from}, limit)
					for err == nil && from < r.Seqs[removal.floor] {
						var page cdc.Page
						page, err = handle.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: from}, limit)
						if err == nil && page.Next == from {
							break
						}
						from = max(page.Next, from)
					}
					if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonTruncated || reset.Floor != r.Seqs[removal.floor] {
						t.Errorf("%s: limit %d: got %v, want a truncated reset with floor %d", removal.statement, limit, err, r.Seqs[removal.floor])
					}
				}
				if _, err := handle.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[9]}, 9); err != nil {
					t.Errorf("%s: a reader at the head: %v", removal.statement, err)
				}
				next, err := handle.Append(t.Context(), cdc.Event{})
				if err != nil || next.Seqs[0] <= r.Seqs[9] {
					t.Errorf("%s: the next event is %+v, %v", removal.statement, next, err)
				}
			}
		}
	})
}

// TestAPoolOfOneConnection is enough for everything but mode Fence, which
// refuses it.
func TestAPoolOfOneConnection(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		if v.opts.Mode == sqllog.Fence {
			return
		}
		driver, dsn := v.open(t)
		db := connect(t, driver, dsn)
		db.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l, err := sqllog.Open(ctx, db, "change_log", &v.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		mustExec(t, db, "CREATE TABLE one (id INTEGER PRIMARY KEY)")
		if err := l.Capture(ctx, sqllog.Table{Name: "one"}); err != nil {
			t.Fatal(err)
		}
		sub, err := l.Subscribe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		mustExec(t, db, "INSERT INTO one VALUES (1)")
		r, err := l.Append(ctx, cdc.Event{ID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 2; got = len(readAll(t, l, cdc.Cursor{Epoch: r.Epoch})) {
			if _, err := sub.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Trim(ctx, r.Seqs[0]); err != nil || n != 2 {
			t.Errorf("Trim removed %d, %v, want 2", n, err)
		}
		if _, err := l.Renew(ctx); err != nil {
			t.Error(err)
		}
		if err := sqllog.Verify(ctx, db, "change_log", &v.opts); err != nil {
			t.Error(err)
		}
	})
}

// TestSavepointsAndPlainTransactions: what is rolled back, in part or in all,
// has no event, whichever library the transaction is from.
func TestSavepointsAndPlainTransactions(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		epoch := epochOf(t, l)
		tx, err := db.BeginTx(t.Context(), nil) // a *sql.Tx
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		for _, step := range []string{"kept 1", "SAVEPOINT s", "lost", "ROLLBACK TO SAVEPOINT s", "kept 2", "RELEASE SAVEPOINT s", "kept 3"} {
			if strings.Contains(step, "SAVEPOINT") {
				_, err = tx.ExecContext(t.Context(), step)
			} else {
				err = l.AppendTx(t.Context(), tx, cdc.Event{Type: step})
			}
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range readAll(t, l, cdc.Cursor{Epoch: epoch}) {
			got = append(got, e.Type)
		}
		if fmt.Sprint(got) != "[kept 1 kept 2 kept 3]" {
			t.Errorf("got %v", got)
		}
	})
}
