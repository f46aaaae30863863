package sqllog_test

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// The triggers have the rights of whoever called Capture. A right that is lost
// later makes the user's writes fail: VerifyCapture says so before a user does.
func TestVerifyCaptureSeesRightsThatAreLost(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			driver, dsn := v.open(t)
			db := connect(t, driver, dsn)
			mustExec(t, db, "DO $$ BEGIN CREATE ROLE keeper LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
			mustExec(t, db, "CREATE SCHEMA logs AUTHORIZATION keeper; CREATE SCHEMA app; CREATE TABLE app.k (id int PRIMARY KEY, v int)")
			mustExec(t, db, "GRANT USAGE, CREATE ON SCHEMA app TO keeper; GRANT SELECT, TRIGGER ON app.k TO keeper")
			opts := v.opts
			l, err := sqllog.Open(t.Context(), connect(t, driver, dsn+" user=keeper"), "logs.change_log", &opts)
			if err != nil {
				t.Fatal(err)
			}
			table := sqllog.Table{Name: "app.k", Topic: "k", Key: []string{"id"}}
			if err := l.Capture(t.Context(), table); err != nil {
				t.Fatal(err)
			}
			id := 0
			admin, err := sqllog.Open(t.Context(), db, "logs.change_log", &opts)
			if err != nil {
				t.Fatal(err)
			}
			lost := 0
			for _, right := range []string{
				"INSERT ON ALL TABLES IN SCHEMA logs", "SELECT ON app.k", "USAGE ON SCHEMA logs", "USAGE, CREATE ON SCHEMA app", "ALL ON ALL SEQUENCES IN SCHEMA logs",
			} {
				mustExec(t, db, "REVOKE "+right+" FROM keeper")
				id++
				err := insertAndUpdate(db, id)
				own, others := l.VerifyCapture(t.Context(), table), admin.VerifyCapture(t.Context(), table)
				mustExec(t, db, "GRANT "+right+" TO keeper")
				if err == nil {
					continue
				}
				lost++
				if own == nil || others == nil || !strings.Contains(others.Error(), "keeper, whose rights the triggers have") {
					t.Errorf("without %s writes fail (%v), and VerifyCapture says %v to the owner, %v to others", right, err, own, others)
				}
			}
			if lost == 0 {
				t.Error("no right was missed")
			}
			if err := l.VerifyCapture(t.Context(), table); err != nil {
				t.Errorf("with all rights: %v", err)
			}
		})
	}
}

func insertAndUpdate(db *sqlx.DB, id int) error {
	if _, err := db.Exec("INSERT INTO app.k VALUES ($1, 1)", id); err != nil {
		return err
	}
	_, err := db.Exec("UPDATE app.k SET v = v + 1")
	return err
}

// TestMariaDBVerifyCaptureSeesRightsThatAreLost by the user with whose rights
// the triggers run.
func TestMariaDBVerifyCaptureSeesRightsThatAreLost(t *testing.T) {
	l, db, own := keptByAnother(t)
	table := sqllog.Table{Name: "k"}
	for i, right := range []string{"", "INSERT ON change_log_inbox", "SELECT ON k", "TRIGGER ON k"} {
		if right != "" {
			mustExec(t, db, "REVOKE "+right+" FROM keeper@localhost")
		}
		_, failed := db.Exec("INSERT INTO k VALUES (?)", i)
		err := l.VerifyCapture(t.Context(), table)
		if (failed == nil) != (right == "") || (err == nil) != (right == "") {
			t.Errorf("without the right %q: a write says %v, VerifyCapture %v", right, failed, err)
		}
		if right == "" {
			continue
		}
		if want := "keeper@localhost, with whose rights the triggers run, lacks " + strings.Replace(right, " ON ", " on "+own+".", 1); err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("VerifyCapture says %v, want %q", err, want)
		}
		mustExec(t, db, "GRANT "+right+" TO keeper@localhost")
	}
}

// TestMariaDBVerifyCaptureKnowsHowRightsAreGiven: for a database, everywhere, and
// by a role, which is not judged.
func TestMariaDBVerifyCaptureKnowsHowRightsAreGiven(t *testing.T) {
	l, db, own := keptByAnother(t)
	mustExec(t, db, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM keeper@localhost")
	mustExec(t, db, "CREATE ROLE IF NOT EXISTS keepers")
	for _, form := range [][2]string{
		{"GRANT ALL ON `" + strings.ReplaceAll(own, "_", `\_`) + "`.* TO keeper@localhost", "REVOKE ALL ON `" + strings.ReplaceAll(own, "_", `\_`) + "`.* FROM keeper@localhost"},
		{"GRANT ALL ON *.* TO keeper@localhost", "REVOKE ALL ON *.* FROM keeper@localhost"},
		{"GRANT keepers TO keeper@localhost", "REVOKE keepers FROM keeper@localhost"},
	} {
		mustExec(t, db, form[0])
		if err := l.VerifyCapture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
			t.Errorf("after %s: %v", form[0], err)
		}
		mustExec(t, db, form[1])
		if err := l.VerifyCapture(t.Context(), sqllog.Table{Name: "k"}); err == nil {
			t.Errorf("after %s: VerifyCapture finds nothing", form[1])
		}
	}
}

// keptByAnother is a captured table k of the database own, of which the trigger
// for INSERT runs with the rights of keeper.
func keptByAnother(t *testing.T) (l *sqllog.Log, db *sqlx.DB, own string) {
	t.Helper()
	l, db = freshCapture(t, mariadbVariant, "CREATE TABLE k (id INT PRIMARY KEY)", sqllog.Table{Name: "k"})
	db.SetMaxOpenConns(1)
	if err := db.Get(&own, "SELECT database()"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "CREATE USER IF NOT EXISTS keeper@localhost")
	mustExec(t, db, "GRANT INSERT ON change_log_inbox TO keeper@localhost")
	mustExec(t, db, "GRANT SELECT, TRIGGER ON k TO keeper@localhost")
	var trigger struct{ Name, Mode, Body string }
	if err := db.Get(&trigger, "SELECT trigger_name AS name, sql_mode AS mode, action_statement AS body FROM information_schema.triggers"+
		" WHERE event_object_table = 'k' AND event_manipulation = 'INSERT' AND trigger_schema = database()"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "SET sql_mode = '"+trigger.Mode+"'")
	mustExec(t, db, "DROP TRIGGER "+trigger.Name)
	mustExec(t, db, "CREATE DEFINER=keeper@localhost TRIGGER "+trigger.Name+" AFTER INSERT ON k FOR EACH ROW "+trigger.Body)
	return l, db, own
}
