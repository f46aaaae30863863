package sqllog_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestSQLiteTellsOfARollbackJournal where a reader of ours can make a statement of
// the user fail, and nowhere else.
func TestSQLiteTellsOfARollbackJournal(t *testing.T) {
	for _, test := range []struct {
		journal string
		told    bool
	}{{"delete", true}, {"truncate", true}, {"persist", true}, {"memory", true}, {"wal", false}, {"none", false}} {
		t.Run(test.journal, func(t *testing.T) {
			db := connect(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "log.db")+"?_pragma=journal_mode("+test.journal+")")
			if test.journal == "none" {
				db = connect(t, "sqlite", ":memory:")
				db.SetMaxOpenConns(1)
			}
			var told []string
			openLog(t, db, sqllog.Options{OnError: func(err error) { told = append(told, err.Error()) }})
			openLog(t, db, sqllog.Options{}) // nobody is told
			switch {
			case test.told != (len(told) == 1):
				t.Errorf("told %q", told)
			case test.told && !strings.Contains(told[0], "journal_mode is "+test.journal):
				t.Errorf("told %q, which does not say the mode", told)
			}
		})
	}
}

// TestSQLiteReadersHinderNoWriter with WAL: no statement of a connection that
// never waits fails while a log is followed and read.
func TestSQLiteReadersHinderNoWriter(t *testing.T) {
	const writes = 1000
	driver, dsn := freshSQLite(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, "CREATE TABLE change_log (seq INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT)")
	l := openLog(t, db, sqllog.Options{Columns: &sqllog.Columns{Seq: "seq", Data: "data"}})
	followed := make(chan error, 1)
	go func() {
		seen := 0
		for batch, err := range cdc.Follow(t.Context(), l, cdc.Beginning(), nil) {
			if err != nil {
				followed <- err
				return
			}
			if seen += len(batch.Events); seen == writes {
				break
			}
		}
		followed <- nil
	}()
	file, _, _ := strings.Cut(dsn, "?")
	theirs := connect(t, driver, file+"?_pragma=busy_timeout(0)")
	theirs.SetMaxOpenConns(1)
	for i := range writes {
		if _, err := theirs.ExecContext(t.Context(), "INSERT INTO change_log (data) VALUES (?)", i); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	if err := <-followed; err != nil {
		t.Error(err)
	}
}
