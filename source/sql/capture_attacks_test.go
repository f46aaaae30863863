package sqllog_test

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// writerOf makes a role that may change the table k and nothing else, and
// returns the pool of a session that has it.
func writerOf(t *testing.T, db *sqlx.DB, dsn, role string) *sqlx.DB {
	t.Helper()
	mustExec(t, db, "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '"+role+"') THEN CREATE ROLE "+role+" LOGIN; END IF; END $$")
	mustExec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON k TO "+role+"; GRANT CREATE, USAGE ON SCHEMA public TO "+role)
	writer := connect(t, "postgres", dsn)
	writer.SetMaxOpenConns(1)
	mustExec(t, writer, "SET ROLE "+role)
	return writer
}

// attacks are what a role that may write to a captured table, and may make
// tables, functions and operators of its own, has tried: each once led a
// function of ours astray, or might have.
var attacks = map[string]string{
	"A2 a temporary table with the inbox's name": "CREATE TEMP TABLE change_log_inbox (LIKE public.change_log INCLUDING DEFAULTS); CREATE TEMP TABLE change_log_head (LIKE public.change_log_head); CREATE TEMP TABLE k2 (a int)",
	"A2 a trigger on a temporary table that takes the owner's rights": "CREATE TEMP TABLE change_log_inbox (LIKE public.change_log);" +
		" CREATE FUNCTION pg_temp.take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE attacker SUPERUSER; RETURN NEW; END $$;" +
		" CREATE TRIGGER take BEFORE INSERT ON change_log_inbox FOR EACH ROW EXECUTE FUNCTION pg_temp.take()",
	"a temporary table with the captured table's name": "CREATE TEMP TABLE k (id int, v int, p text)",
	"functions with the names of PostgreSQL's own":     "CREATE FUNCTION public.json_build_object(VARIADIC \"any\") RETURNS json LANGUAGE internal IMMUTABLE AS 'json_build_object'",
	"a function of the same name that fits better": "CREATE FUNCTION public.encode(bytea, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE attacker SUPERUSER; RETURN ''; END $$;" +
		" CREATE FUNCTION public.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE attacker SUPERUSER; RETURN NULL; END $$; SET search_path = public, pg_catalog",
	"an operator that fits better": "CREATE FUNCTION public.mine(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE attacker SUPERUSER; RETURN true; END $$;" +
		" CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.mine); SET search_path = public, pg_catalog",
	"settings that change plans and texts":                  "SET enable_hashjoin = off; SET enable_mergejoin = off; SET bytea_output = escape; SET standard_conforming_strings = off; SET quote_all_identifiers = on; SET jit_above_cost = 0",
	"a trigger of the writer's own with a function of ours": "CREATE TYPE public.evil AS (a int); CREATE TABLE public.mine (id int PRIMARY KEY, v int, p evil);; CREATE TRIGGER forge AFTER INSERT ON public.mine REFERENCING NEW TABLE AS gapless_new FOR EACH STATEMENT EXECUTE FUNCTION public.k_to_change_log_row();; INSERT INTO public.mine VALUES (7, 7, ROW(1))",
	"a setting of ours set by hand":                         "SET gapless.changed_0 = 'x'",
}

// TestCaptureCannotBeLedAstray: whatever a writer makes in its session or in a
// schema that it may use, its writes have their events, and it gets no right.
func TestCaptureCannotBeLedAstray(t *testing.T) {
	for name, attack := range attacks {
		for _, v := range variants[:3] {
			t.Run(name+"/"+engineMode(v), func(t *testing.T) {
				driver, dsn := v.open(t)
				db := connect(t, driver, dsn)
				l := openLog(t, db, v.opts)
				mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY, v int, p bytea)")
				if err := l.Capture(t.Context(), sqllog.Table{Name: "public.k"}); err != nil {
					t.Fatal(err)
				}
				writer := writerOf(t, db, dsn, "attacker")
				for part := range strings.SplitSeq(attack, ";; ") {
					_, _ = writer.Exec(part) // what it may not make is no attack
				}
				mustExec(t, writer, `INSERT INTO public.k VALUES (1, 1, '\x01'); UPDATE public.k SET v = 2; DELETE FROM public.k; TRUNCATE public.k`)
				var kinds []string
				for _, e := range readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}) {
					kinds = append(kinds, e.Type)
				}
				if got, want := strings.Join(kinds, " "), "k.insert k.update k.delete k.truncate"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				var super bool
				if err := db.Get(&super, "SELECT rolsuper FROM pg_roles WHERE rolname = 'attacker'"); err != nil || super {
					t.Errorf("the writer is a superuser: %t, %v", super, err)
				}
				mustExec(t, db, "ALTER ROLE attacker NOSUPERUSER")
			})
		}
	}
}

// TestFunctionsPinTheirSearchPath: every function of ours that has the rights of
// its owner finds PostgreSQL's own names first and temporary tables last.
func TestFunctionsPinTheirSearchPath(t *testing.T) {
	for _, v := range variants[:3] {
		l, db := v.fresh(t)
		mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY)")
		if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err != nil {
			t.Fatal(err)
		}
		var open []string
		if err := db.Select(&open, "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"); err != nil || len(open) > 0 {
			t.Errorf("%s: %v have no pinned search_path, %v", v.name, open, err)
		}
		mustExec(t, db, "ALTER FUNCTION k_to_change_log_row() SET search_path = public")
		if l.VerifyCapture(t.Context(), sqllog.Table{Name: "k"}) == nil {
			t.Errorf("%s: VerifyCapture finds nothing wrong with another search_path", v.name)
		}
	}
}

func TestCaptureRefusesOnPostgres(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9);"+
		" CREATE TABLE base (id int PRIMARY KEY); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (base); CREATE VIEW seen AS SELECT * FROM base; CREATE TABLE k (id int PRIMARY KEY)")
	for name, want := range map[string]string{"part": "name the parent", "base": "inherits", "heir": "inherits", "seen": "no table"} {
		if err := l.Capture(t.Context(), sqllog.Table{Name: name, Key: []string{"id"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Capture(%s): got %v, want %q", name, err, want)
		}
	}
	for want, source := range map[string]sqllog.MetaSource{
		"no MetaSource.Variable": {Variable: "x"}, "no MetaSource.Table": {Table: "a", Column: "b"}, "set one of": {}, "set one": {Setting: "a.b", TransactionID: true},
	} {
		err := l.Capture(t.Context(), sqllog.Table{Name: "k", Meta: map[string]sqllog.MetaSource{"m": source}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", source, err, want)
		}
	}
}

// TestCaptureIsTriedBeforeItReturns: a trigger that would make writes fail is not
// installed.
func TestCaptureIsTriedBeforeItReturns(t *testing.T) {
	l, db := variants[0].fresh(t)
	mustExec(t, db, "CREATE TABLE k (id int PRIMARY KEY, v int); INSERT INTO k VALUES (1, 1); ALTER TABLE change_log_inbox ADD CHECK (key <> '1')")
	if err := l.Capture(t.Context(), sqllog.Table{Name: "k"}); err == nil || !strings.Contains(err.Error(), "violates check constraint") {
		t.Errorf("got %v, want the constraint to be named", err)
	}
	var left int
	if err := db.Get(&left, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'k'::regclass"); err != nil || left > 0 {
		t.Errorf("%d triggers are left, %v", left, err)
	}
	mustExec(t, db, "UPDATE k SET v = 2")
}
