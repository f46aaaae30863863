package sqllog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// damage is a statement that makes a log's schema differ, with what Verify then
// has to say.
type damage struct{ statement, want string }

var damages = map[string][]damage{
	"postgres/sequencer": {
		{"DROP TABLE change_log", "does not exist"},
		{"DROP TABLE change_log_inbox", "change_log_inbox"},
		{"DROP TABLE change_log_head", "change_log_head"},
		{"DROP INDEX change_log_id", "change_log_id"},
		{"ALTER TABLE change_log DROP CONSTRAINT change_log_pkey", "no unique index"},
		{"DROP INDEX change_log_inbox_pos", "pos has no index"},
		{"DROP INDEX change_log_head_latest", `"change_log_head".head has no unique index`},
		{"ALTER TABLE change_log DROP COLUMN meta", `no column "meta"`},
		{"ALTER TABLE change_log_inbox DROP COLUMN meta", `no column "meta"`},
		{"ALTER TABLE change_log_head DROP COLUMN floor", `no column "floor"`},
		{"ALTER TABLE change_log ALTER data TYPE text USING NULL", "data is of type text"},
		{"DROP INDEX change_log_topic; ALTER TABLE change_log ALTER topic DROP DEFAULT, ALTER topic TYPE integer USING 1", "topic is of type integer"},
		{"ALTER TABLE change_log_inbox ALTER meta TYPE text", "meta is of type text"},
		{"ALTER TABLE change_log_head ALTER head TYPE integer", "head is of type integer"},
		{"ALTER TABLE change_log_head ALTER epoch TYPE bytea USING 'x'", "epoch is of type bytea"},
		{"ALTER TABLE change_log ADD COLUMN more text NOT NULL", "more is NOT NULL"},
		{"ALTER TABLE change_log_inbox ADD COLUMN more text NOT NULL", "more is NOT NULL"},
		{"DELETE FROM change_log_head", "is empty"},
		{"UPDATE change_log_head SET version = 9", "version 9"},
		{"DROP FUNCTION change_log_pass", "change_log_pass"},
		{"CREATE OR REPLACE FUNCTION change_log_pass(batch_size integer, wait boolean, token text, known text, OUT o_epoch text, OUT o_floor bigint, OUT o_head bigint, OUT o_taken integer, OUT o_known text) LANGUAGE plpgsql AS 'BEGIN END'", "change_log_pass"},
		{"ALTER TABLE change_log_inbox ALTER pos SET DEFAULT 1", "orders events"},
		{"GRANT EXECUTE ON FUNCTION change_log_append TO PUBLIC; ALTER FUNCTION change_log_append SECURITY DEFINER", "change_log_append"},
		{"ALTER TABLE change_log_inbox ALTER pos DROP DEFAULT", "orders events"},
		{"ALTER TABLE change_log SET UNLOGGED", "UNLOGGED"},
		{"ALTER TABLE change_log_inbox SET UNLOGGED", "UNLOGGED"},
		{"ALTER TABLE change_log_head SET UNLOGGED", "UNLOGGED"},
	},
	"postgres/fence": {
		{"DROP INDEX change_log_id", "change_log_id"},
		{"DROP TRIGGER change_log_floor ON change_log", "change_log_floor"},
		{"DROP TRIGGER change_log_floor_truncate ON change_log", "change_log_floor_truncate"},
		{"ALTER TABLE change_log DISABLE TRIGGER change_log_floor", "disabled"},
		{"ALTER TABLE change_log DISABLE TRIGGER ALL", "disabled"},
		{"ALTER TABLE change_log ENABLE REPLICA TRIGGER change_log_floor_truncate", "disabled"},
		{"DROP FUNCTION change_log_floor CASCADE", "change_log_floor"},
		{"CREATE OR REPLACE FUNCTION change_log_floor() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "change_log_floor"},
		{"DROP TRIGGER change_log_floor ON change_log; CREATE TRIGGER change_log_floor AFTER INSERT ON change_log REFERENCING NEW TABLE AS gapless_gone EXECUTE FUNCTION change_log_floor()", "change_log_floor"},
		{"ALTER SEQUENCE change_log_seq_seq CACHE 10", "CACHE 10"},
		{"ALTER TABLE change_log ALTER seq SET DEFAULT nextval('change_log_seq_seq') * 10", "nextval"},
		{"ALTER TABLE change_log ALTER seq SET DEFAULT nextval('change_log_seq_seq') + 1000", "nextval"},
		{"ALTER SEQUENCE change_log_seq_seq MINVALUE 0 RESTART 0", "below 1"},
		{"INSERT INTO change_log (seq) VALUES (-4)", "below 1"},
		{"ALTER TABLE change_log SET UNLOGGED", "UNLOGGED"},
		{"CREATE TABLE change_log_2027 () INHERITS (change_log)", "change_log_2027"},
	},
	"postgres/at-commit": {
		{"DROP INDEX change_log_id", "change_log_id"},
		{"DROP TRIGGER change_log_number ON change_log_inbox", "change_log_number"},
		{"ALTER TABLE change_log_inbox DISABLE TRIGGER USER", "disabled"},
		{"CREATE OR REPLACE FUNCTION change_log_number() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "change_log_number"},
		{"DROP TRIGGER change_log_number ON change_log_inbox; CREATE TRIGGER change_log_number AFTER INSERT ON change_log_inbox FOR EACH ROW EXECUTE FUNCTION change_log_number()", "change_log_number"},
		{"ALTER TABLE change_log ALTER seq DROP DEFAULT", "not filled in by a sequence"},
		{"ALTER SEQUENCE change_log_seq_seq CACHE 10", "CACHE 10"},
	},
	"mariadb": {
		{"DROP TABLE change_log", "does not exist"},
		{"DROP TABLE change_log_inbox", "change_log_inbox"},
		{"DROP TABLE change_log_head", "change_log_head"},
		{"DROP INDEX change_log_id ON change_log", "change_log_id"},
		{"ALTER TABLE change_log DROP PRIMARY KEY", "no unique index"},
		{"ALTER TABLE change_log_head DROP PRIMARY KEY", "no unique index"},
		{"ALTER TABLE change_log_inbox MODIFY pos BIGINT NOT NULL", "AUTO_INCREMENT"},
		{"ALTER TABLE change_log DROP COLUMN meta", `no column "meta"`},
		{"ALTER TABLE change_log MODIFY data LONGTEXT", "data is of type longtext"},
		{"ALTER TABLE change_log MODIFY topic INT NOT NULL", "topic is of type int"},
		{"ALTER TABLE change_log MODIFY id TEXT, DROP INDEX change_log_id, ADD UNIQUE INDEX change_log_id (id(64))", "id is of type text"},
		{"ALTER TABLE change_log_head MODIFY head INT NOT NULL", "head is of type int"},
		{"ALTER TABLE change_log ADD COLUMN more INT NOT NULL", "more is NOT NULL"},
		{"ALTER TABLE change_log ENGINE=MyISAM", "MyISAM"},
		{"ALTER TABLE change_log_inbox ENGINE=Aria", "Aria"},
		{"DELETE FROM change_log_head", "is empty"},
		{"UPDATE change_log_head SET version = 9", "version 9"},
	},
	"sqlite": {
		{"DROP TABLE change_log", "does not exist"},
		{"DROP TABLE change_log_head", "change_log_head"},
		{"DROP INDEX change_log_id", "change_log_id"},
		{"DROP TRIGGER change_log_floor", "change_log_floor"},
		{"DROP TRIGGER change_log_floor; CREATE TRIGGER change_log_floor AFTER DELETE ON change_log BEGIN SELECT 1; END", "change_log_floor"},
		{"DROP INDEX change_log_id; CREATE UNIQUE INDEX change_log_id ON change_log (topic) WHERE id IS NOT NULL", "change_log_id"},
		{"ALTER TABLE change_log DROP COLUMN meta", `no column "meta"`},
		{"ALTER TABLE change_log ADD COLUMN more TEXT NOT NULL DEFAULT ''; INSERT INTO change_log (seq) VALUES (-4)", "below 1"},
		{"DELETE FROM change_log_head", "is empty"},
		{"UPDATE change_log_head SET version = 9", "version 9"},
	},
}

// TestVerifyNamesEveryDifference does one thing to a schema at a time.
func TestVerifyNamesEveryDifference(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		driver, dsn := v.open(t)
		for _, d := range damages[v.name] {
			if driver == "postgres" { // there, making databases takes long
				mustExec(t, connect(t, driver, dsn), "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
			} else {
				driver, dsn = v.open(t)
			}
			db := connect(t, driver, dsn)
			if err := sqllog.EnsureSchema(t.Context(), db, "change_log", &v.opts); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, d.statement)
			err := sqllog.Verify(t.Context(), db, "change_log", &v.opts)
			if _, ok := errors.AsType[*sqllog.SchemaError](err); !ok || !strings.Contains(fmt.Sprint(err), d.want) {
				t.Errorf("after %s: got %v, want %q", d.statement, err, d.want)
			}
		}
	})
}

// TestOneTableHasOneMode: a second mode on the same table is refused before it
// changes anything, and the first goes on.
func TestOneTableHasOneMode(t *testing.T) {
	modes := []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit}
	for _, made := range modes {
		driver, dsn := freshPostgres(t)
		db := connect(t, driver, dsn)
		l := openLog(t, db, sqllog.Options{Mode: made})
		for _, other := range modes {
			if other == made {
				continue
			}
			_, err := sqllog.Open(t.Context(), db, "change_log", &sqllog.Options{Mode: other})
			if want := "set Options.Mode to " + string(made); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a log made in mode %s opened in mode %s: got %v, want %q", made, other, err, want)
			}
		}
		if _, err := l.Append(t.Context(), cdc.Event{}); err != nil {
			t.Error(err)
		}
		if err := sqllog.Verify(t.Context(), db, "change_log", &sqllog.Options{Mode: made}); err != nil {
			t.Error(err)
		}
	}
}

// TestModesThatStartAtOnce: on an empty database one mode wins, and its log is
// whole; the others are refused.
func TestModesThatStartAtOnce(t *testing.T) {
	modes := []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit}
	for range 8 {
		driver, dsn := freshPostgres(t)
		logs, errs := make([]*sqllog.Log, len(modes)), make([]error, len(modes))
		var wg sync.WaitGroup
		for i, mode := range modes {
			db := connect(t, driver, dsn)
			wg.Go(func() { logs[i], errs[i] = sqllog.Open(t.Context(), db, "change_log", &sqllog.Options{Mode: mode}) })
		}
		wg.Wait()
		var won []sqllog.Mode
		for i, mode := range modes {
			if errs[i] != nil {
				if !strings.Contains(errs[i].Error(), "set Options.Mode to") {
					t.Errorf("mode %s: got %v", mode, errs[i])
				}
				continue
			}
			won = append(won, mode)
			if _, err := logs[i].Append(t.Context(), cdc.Event{}); err != nil {
				t.Error(err)
			}
			_ = logs[i].Close()
			if err := sqllog.Verify(t.Context(), connect(t, driver, dsn), "change_log", &sqllog.Options{Mode: mode}); err != nil {
				t.Errorf("mode %s, which won: %v", mode, err)
			}
		}
		if len(won) != 1 {
			t.Errorf("modes %v opened the log, want one; errors: %v", won, errs)
		}
	}
}

// TestConnectionsThatCannotServeAreRefused: each of them would lose events, or
// show those that are rolled back.
func TestConnectionsThatCannotServeAreRefused(t *testing.T) {
	_, mysql := freshMariaDB(t)
	for parameter, want := range map[string]string{
		"autocommit=0":                       "autocommit is off",
		"tx_isolation='READ-UNCOMMITTED'":    "READ-UNCOMMITTED",
		"charset=latin1":                     "charset=utf8mb4",
		"character_set_results=utf8mb3":      "charset=utf8mb4",
		"charset=utf8mb4&autocommit='OFF'":   "autocommit is off",
		"tx_isolation='SERIALIZABLE'":        "",
		"sql_mode='ANSI'&time_zone='-11:00'": "",
	} {
		_, err := sqllog.Open(t.Context(), connect(t, "mysql", mysql+"?"+parameter), "change_log", nil)
		if (want == "") != (err == nil) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want %q", parameter, err, want)
		}
	}
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	db.SetMaxOpenConns(1)
	if _, err := sqllog.Open(t.Context(), db, "change_log", &sqllog.Options{Mode: sqllog.Fence}); err == nil || !strings.Contains(err.Error(), "SetMaxOpenConns(2)") {
		t.Errorf("mode fence on a pool of one connection: got %v, want it refused", err)
	}
}

// TestALostHeadIsMadeAnew: the epoch is a new one, and the events are as they
// were.
func TestALostHeadIsMadeAnew(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		r, err := l.Append(t.Context(), make([]cdc.Event, 10)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Trim(t.Context(), r.Seqs[3]); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "DELETE FROM change_log_head")
		if _, err := l.Bounds(t.Context()); err == nil || !strings.Contains(err.Error(), "run EnsureSchema") {
			t.Errorf("without its head row: got %v", err)
		}
		l = openLog(t, db, v.opts)
		if _, err := l.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		epoch := epochOf(t, l)
		if _, err := l.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[5]}, 9); err == nil {
			t.Error("a cursor of the lost epoch is accepted")
		}
		b, err := l.Bounds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, l, cdc.Cursor{Epoch: epoch, Seq: b.Floor}); len(got) != 7 {
			t.Errorf("got %d events above floor %d, want the 7 that are there", len(got), b.Floor)
		}
	})
}

// TestALogThatIsMadeAnewIsAnotherOne: its numbers begin again, so a cursor of
// the dropped table must not fit, even one without a tag.
func TestALogThatIsMadeAnewIsAnotherOne(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		r, err := l.Append(t.Context(), make([]cdc.Event, 10)...)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "DROP TABLE change_log")
		again := openLog(t, db, v.opts)
		if _, err := again.Append(t.Context(), make([]cdc.Event, 15)...); err != nil {
			t.Fatal(err)
		}
		for _, handle := range []*sqllog.Log{l, again} {
			page, err := handle.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch, Seq: r.Seqs[4]}, 100)
			if _, ok := errors.AsType[*cdc.ResetError](err); !ok {
				t.Errorf("got %d events, %v, want a reset", len(page.Events), err)
			}
		}
	})
}
