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
