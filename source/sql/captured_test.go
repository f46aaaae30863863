package sqllog_test

import (
	"reflect"
	"testing"

	"github.com/jmoiron/sqlx"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestCapturedTablesAreListedAndPrinted installs the triggers of one table by
// Capture and those of another one by hand.
func TestCapturedTablesAreListedAndPrinted(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		other := openNamed(t, db, "other_log", v.opts)
		mustExec(t, db, "CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY)")
		mustExec(t, db, "CREATE TABLE b (id INTEGER NOT NULL PRIMARY KEY, customer INTEGER)")
		wantCaptured(t, l)
		a, b := sqllog.Table{Name: "a"}, sqllog.Table{Name: "b", Topic: "it's", Type: "odd", TopicColumns: []string{"customer"}}
		if err := l.Capture(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := other.Capture(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		installByHand(t, l, db, a)
		if err := l.VerifyCapture(t.Context(), a); err != nil {
			t.Error(err)
		}
		wantCaptured(t, l, sqllog.Table{Name: "a", Topic: "a", Type: "a"}, b)
		wantCaptured(t, other, b)
		if err := l.RemoveCapture(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		installByHand(t, l, db, a) // again
		wantCaptured(t, l, sqllog.Table{Name: "a", Topic: "a", Type: "a"})
		if _, err := l.CaptureStatements(t.Context(), sqllog.Table{Name: "none"}); err == nil {
			t.Error("there are statements for a table that does not exist")
		}
	})
}

func wantCaptured(t *testing.T, l *sqllog.Log, want ...sqllog.Table) {
	t.Helper()
	got, err := l.Captured(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, append([]sqllog.Table{}, want...)) {
		t.Errorf("captured tables: got %+v, want %+v", got, want)
	}
}

// installByHand runs the statements as a migration does.
func installByHand(t *testing.T, l *sqllog.Log, db *sqlx.DB, table sqllog.Table) {
	t.Helper()
	statements, err := l.CaptureStatements(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, s := range statements {
		if _, err := tx.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
