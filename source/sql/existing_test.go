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

// mapped is a table as somebody may have made it long ago.
var mapped = &sqllog.Columns{Seq: "n", Topic: "project_id", Key: "session_id", Type: "kind", Time: "created_at", Data: "payload"}

const mappedTable = `CREATE TABLE events (n bigserial PRIMARY KEY, project_id integer NOT NULL, session_id uuid, kind varchar(20) NOT NULL,
	payload jsonb, created_at timestamp NOT NULL DEFAULT now())`

func TestAnExistingTableIsMapped(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, mappedTable)
	mustExec(t, db, `INSERT INTO events (project_id, kind, payload) VALUES (7, 'old', '{"a":  1}'), (7, 'null', NULL)`)
	l := openNamed(t, db, "events", sqllog.Options{Columns: mapped})
	epoch := epochOf(t, l)
	got := readAll(t, l, cdc.Cursor{Epoch: epoch})
	if len(got) != 2 || got[0].Topic != "7" || got[0].Type != "old" || string(got[0].Data) != `{"a": 1}` || got[0].Key != "" || got[1].Data != nil || got[0].Time.IsZero() {
		t.Fatalf("got %+v", got)
	}
	if _, err := l.Append(t.Context(), cdc.Event{ID: "x"}); err == nil || !strings.Contains(err.Error(), "no column") {
		t.Errorf("Append of an ID without a column: %v", err)
	}
	r, err := l.Append(t.Context(), cdc.Event{Topic: "8", Type: "new", Key: "123e4567-e89b-12d3-a456-426614174000", Data: []byte(`{"b":2}`)})
	if err != nil || r.Seqs[0] != 3 {
		t.Fatalf("got %+v, %v", r, err)
	}

	mustExec(t, db, "DELETE FROM events WHERE n = 2")
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 1}, 10)
	if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonTruncated || reset.Floor != 2 {
		t.Errorf("after a DELETE by another program: %v, want a truncated reset", err)
	}
	mustExec(t, db, "TRUNCATE events")
	if b, err := l.Bounds(t.Context()); err != nil || b.Floor != 3 || b.Head != 3 || b.Epoch != epoch {
		t.Errorf("after TRUNCATE: %+v, %v, want floor and head 3", b, err)
	}
	mustExec(t, db, "TRUNCATE events RESTART IDENTITY")
	mustExec(t, db, `INSERT INTO events (project_id, kind) VALUES (1, 'first')`)
	b, err := l.Bounds(t.Context())
	if err != nil || b.Epoch == epoch {
		t.Fatalf("after RESTART IDENTITY: %+v, %v, want another epoch", b, err)
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: b.Epoch}); len(got) != 1 || got[0].Type != "first" {
		t.Errorf("got %+v, want the first event of the new epoch", got)
	}
}

func TestASequenceThatWasSetBackIsRefused(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	l := openLog(t, db, sqllog.Options{Mode: sqllog.Fence})
	if _, err := l.Append(t.Context(), make([]cdc.Event, 10)...); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Bounds(t.Context()); err != nil { // it also stores the head
		t.Fatal(err)
	}
	mustExec(t, db, "SELECT setval('change_log_seq_seq', 4)")
	if _, err := l.Bounds(t.Context()); err == nil || !strings.Contains(err.Error(), "set back") || !strings.Contains(err.Error(), "Renew") {
		t.Errorf("got %v, want the sequence by name and what to do", err)
	}
}

// TestSequencesThatBreakTheOrderAreRefused names each setting.
func TestSequencesThatBreakTheOrderAreRefused(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, mappedTable)
	mustExec(t, db, "CREATE TABLE random (n bigint PRIMARY KEY DEFAULT (random() * 1e15)::bigint, payload text)")
	mustExec(t, db, "CREATE TABLE narrow (n serial PRIMARY KEY, payload text)")
	mustExec(t, db, "CREATE TABLE unordered (n bigserial, payload text)")
	columns := &sqllog.Columns{Seq: "n", Data: "payload"}
	cases := []struct{ table, alter, want, undo string }{
		{"events", "ALTER SEQUENCE events_n_seq CACHE 20", "CACHE 20", "ALTER SEQUENCE events_n_seq CACHE 1"},
		{"events", "ALTER SEQUENCE events_n_seq CYCLE", "CYCLE", "ALTER SEQUENCE events_n_seq NO CYCLE"},
		{"events", "ALTER SEQUENCE events_n_seq INCREMENT -1 MINVALUE -9 MAXVALUE 9 START 1", "INCREMENT -1", "SELECT 1"},
		{"random", "SELECT 1", "not filled in by a sequence", "SELECT 1"},
		{"narrow", "SELECT 1", "of type integer, it must be bigint", "SELECT 1"},
		{"unordered", "SELECT 1", "no unique index", "SELECT 1"},
		{"nowhere", "SELECT 1", "does not exist, though Options.Columns maps it", "SELECT 1"},
	}
	for _, c := range cases {
		mustExec(t, db, c.alter)
		_, err := sqllog.Open(t.Context(), db, c.table, &sqllog.Options{Columns: columns})
		if _, ok := errors.AsType[*sqllog.SchemaError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.alter, err, c.want)
		}
		mustExec(t, db, c.undo)
	}
}

func TestTheTriggerForDeletesIsRequired(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	mustExec(t, db, mappedTable)
	opts := sqllog.Options{Columns: mapped}
	if err := sqllog.EnsureSchema(t.Context(), db, "events", &opts); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "ALTER TABLE events DISABLE TRIGGER events_floor")
	if _, err := sqllog.Open(t.Context(), db, "events", &opts); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("got %v, want the disabled trigger", err)
	}
	mustExec(t, db, "DROP TRIGGER events_floor ON events")
	opts.NoSchema = true
	if _, err := sqllog.Open(t.Context(), db, "events", &opts); err == nil || !strings.Contains(err.Error(), "InvisibleDeletes") {
		t.Errorf("got %v, want the missing trigger", err)
	}
	opts.InvisibleDeletes = true
	openNamed(t, db, "events", opts)
}

// TestAPreparedTransactionHoldsTheFence: PREPARE gives the transaction another
// name, under which it must not be taken for a later one.
func TestAPreparedTransactionHoldsTheFence(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	l := openLog(t, db, sqllog.Options{Mode: sqllog.Fence})
	epoch := epochOf(t, l)
	tx, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	for _, statement := range []string{"BEGIN", "INSERT INTO change_log (type) VALUES ('prepared')"} {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if _, err := l.Append(t.Context(), cdc.Event{Type: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if _, err := tx.ExecContext(t.Context(), "PREPARE TRANSACTION 'x'"); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 0 {
				t.Fatalf("read %v past an open transaction", got)
			}
		}
	}
	mustExec(t, db, "COMMIT PREPARED 'x'")
	if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 4 || got[0].Type != "prepared" {
		t.Errorf("got %v, want 4 events, the prepared one first", got)
	}
}

// TestTwoPhaseCommitIsSafeOrRefused: numbered after the commit it is safe; at
// commit PostgreSQL refuses it.
func TestTwoPhaseCommitIsSafeOrRefused(t *testing.T) {
	for _, v := range []variant{variants[0], variants[2]} {
		t.Run(v.name, func(t *testing.T) {
			l, db := v.fresh(t)
			epoch := epochOf(t, l)
			conn, err := db.Connx(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, statement := range []string{"BEGIN", "INSERT INTO change_log_inbox (type) VALUES ('prepared')"} {
				if _, err := conn.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			_, err = conn.ExecContext(t.Context(), "PREPARE TRANSACTION 'y'")
			if v.opts.Mode == sqllog.AtCommit {
				if err == nil || !strings.Contains(err.Error(), "cannot PREPARE") {
					t.Errorf("got %v, want it to be refused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), cdc.Event{Type: "later"}); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 1 || got[0].Type != "later" {
				t.Errorf("got %v, want the committed event: a prepared transaction delays nobody", got)
			}
			mustExec(t, db, "COMMIT PREPARED 'y'")
			if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 2 || got[1].Type != "prepared" {
				t.Errorf("got %v, want the prepared event last", got)
			}
		})
	}
}

// TestAReaderStartsWhileAnOldWriterIsInFlight serves the decided past.
func TestAReaderStartsWhileAnOldWriterIsInFlight(t *testing.T) {
	for _, v := range variants[:4] {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			driver, dsn := v.open(t)
			db := connect(t, driver, dsn)
			first := openLog(t, db, v.opts)
			r, err := first.Append(t.Context(), make([]cdc.Event, 5)...)
			if err != nil {
				t.Fatal(err)
			}
			epochOf(t, first)
			tx := db.MustBegin()
			defer func() { _ = tx.Rollback() }()
			if err := first.AppendTx(t.Context(), tx, cdc.Event{Type: "slow"}); err != nil {
				t.Fatal(err)
			}
			late := openLog(t, connect(t, driver, dsn), v.opts)
			if v.opts.Mode == sqllog.AtCommit || v.opts.Mode == sqllog.Auto {
				if _, err := first.Append(t.Context(), cdc.Event{Type: "fast"}); err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, late, cdc.Cursor{Epoch: r.Epoch}); len(got) != 6 {
					t.Errorf("got %d events, want the 6 committed: a slow writer delays nobody", len(got))
				}
				return
			}
			if got := readAll(t, late, cdc.Cursor{Epoch: r.Epoch}); len(got) != 5 {
				t.Errorf("got %d events, want the 5 that are decided", len(got))
			}
		})
	}
}

func TestSchemasAreMadeByManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		driver, dsn := v.open(t)
		var wg sync.WaitGroup
		for range 8 {
			db := connect(t, driver, dsn)
			wg.Go(func() {
				if err := sqllog.EnsureSchema(t.Context(), db, "change_log", &v.opts); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestSchemaIsAMigration(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		driver, dsn := v.open(t)
		db := connect(t, driver, dsn)
		opts := v.opts
		opts.NoSchema = true
		if _, err := sqllog.Open(t.Context(), db, "change_log", &opts); err == nil || !strings.Contains(err.Error(), "EnsureSchema") {
			t.Errorf("Open without tables: %v", err)
		}
		dialect := map[string]sqllog.Dialect{"postgres": sqllog.Postgres, "sqlite": sqllog.SQLite, "mysql": sqllog.MySQL}[driver]
		schema, err := sqllog.Schema(dialect, "change_log", &opts)
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(schema, ";\n\n") {
			mustExec(t, db, strings.TrimSuffix(statement, ";\n"))
		}
		openLog(t, db, opts)
	})
}

func TestWrongTablesAreNamed(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		_, db := v.fresh(t)
		mustExec(t, db, "ALTER TABLE change_log DROP COLUMN type")
		mustExec(t, db, "ALTER TABLE change_log ADD COLUMN type INTEGER")
		mustExec(t, db, "ALTER TABLE change_log RENAME COLUMN data TO payload")
		_, err := sqllog.Open(t.Context(), db, "change_log", &v.opts)
		if schema, ok := errors.AsType[*sqllog.SchemaError](err); !ok || !strings.Contains(err.Error(), `no column "data"`) {
			t.Errorf("got %v (%v), want the missing column by name", err, schema)
		}
	})
}

func TestLargeEventsAreRefusedOrCarried(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		l, db := v.fresh(t)
		_, err := l.Append(t.Context(), cdc.Event{Data: make([]byte, 20<<20)})
		if tooLarge, ok := errors.AsType[*cdc.TooLargeError](err); !ok || tooLarge.Max != cdc.DefaultMaxEventBytes {
			t.Errorf("got %v, want it to be too large", err)
		}
		tx := db.MustBegin()
		if err := l.AppendTx(t.Context(), tx, cdc.Event{Data: make([]byte, 20<<20)}); err == nil {
			t.Error("AppendTx takes 20 MB")
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		data := make([]byte, 1<<20)
		r, err := l.Append(t.Context(), cdc.Event{Data: data}, cdc.Event{Data: data}, cdc.Event{Data: data}, cdc.Event{Data: data}, cdc.Event{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if page, err := l.Read(t.Context(), cdc.Cursor{Epoch: r.Epoch}, 100); err != nil || len(page.Events) != 1 {
			t.Errorf("a page has %d events of 1 MiB, %v, want 1", len(page.Events), err)
		}
		if got := readAll(t, l, cdc.Cursor{Epoch: r.Epoch}); len(got) != 5 || len(got[4].Data) != 1<<20 {
			t.Errorf("got %d events", len(got))
		}
	})
}

func TestRightsThatAreMissingAreNamed(t *testing.T) {
	driver, dsn := freshPostgres(t)
	openLog(t, connect(t, driver, dsn), sqllog.Options{})
	db := connect(t, driver, dsn)
	db.SetMaxOpenConns(1)
	role := fmt.Sprint("stranger", databases.Add(1))
	mustExec(t, db, "CREATE ROLE "+role)
	mustExec(t, db, "SET ROLE "+role)
	if _, err := sqllog.Open(t.Context(), db, "change_log", nil); err == nil || !strings.Contains(err.Error(), "grant SELECT") || !strings.Contains(err.Error(), "sequences") {
		t.Errorf("got %v, want the missing right", err)
	}
	mustExec(t, db, "RESET ROLE")
	mustExec(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role)
	mustExec(t, db, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role) // which INSERT needs
	mustExec(t, db, "SET ROLE "+role)
	l := openLog(t, db, sqllog.Options{})
	appendInTx(t, l, db, cdc.Event{})
	if got := readAll(t, l, cdc.Cursor{Epoch: epochOf(t, l)}); len(got) != 1 {
		t.Errorf("got %d events, want 1", len(got))
	}
}

// TestOddNamesAreMapped has a table in another schema, names that need quotes
// and contain our own placeholders, and an event of 20 MB that another program
// wrote.
func TestOddNamesAreMapped(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	const table = `"Odd schema"."my SEQ ""LOG"`
	mustExec(t, db, `CREATE SCHEMA "Odd schema"; CREATE TABLE `+table+` ("the SEQ" bigserial PRIMARY KEY, "to pic" varchar, "select" text, "Data ü" bytea, "when" timestamptz DEFAULT now())`)
	l := openNamed(t, db, `Odd schema.my SEQ "LOG`, sqllog.Options{Columns: &sqllog.Columns{Seq: "the SEQ", Topic: "to pic", Type: "select", Data: "Data ü", Time: "when"}})
	epoch := epochOf(t, l)
	if _, err := l.Append(t.Context(), cdc.Event{Topic: "a", Type: "b", Data: []byte{0, 255}}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "INSERT INTO "+table+` ("Data ü") SELECT decode(repeat('00', 20000000), 'hex')`)
	if got := readAll(t, l, cdc.Cursor{Epoch: epoch}); len(got) != 2 || got[0].Topic != "a" || len(got[1].Data) != 20_000_000 {
		t.Errorf("got %d events", len(got))
	}
	mustExec(t, db, "DELETE FROM "+table)
	if b, err := l.Bounds(t.Context()); err != nil || b.Floor != 2 || b.Head != 2 {
		t.Errorf("after DELETE: %+v, %v, want floor and head 2", b, err)
	}
}

// TestMappedTablesThatLoseRowsAreRefused names what is wrong with each.
func TestMappedTablesThatLoseRowsAreRefused(t *testing.T) {
	driver, dsn := freshPostgres(t)
	db := connect(t, driver, dsn)
	for want, create := range map[string]string{
		"of type uuid":                  "CREATE TABLE u (n uuid PRIMARY KEY DEFAULT gen_random_uuid(), p text)",
		"of type text":                  "CREATE TABLE u (n text PRIMARY KEY, p text)",
		"may be NULL":                   "CREATE TABLE u (n bigint DEFAULT 1 UNIQUE, p text)",
		"not filled in by a sequence":   "CREATE TABLE u (n bigint PRIMARY KEY, p text)",
		"u.p is of type integer":        "CREATE TABLE u (n bigserial PRIMARY KEY, p integer)",
		`no column "p"`:                 "CREATE TABLE u (n bigserial PRIMARY KEY, q text)",
		"CREATE UNIQUE INDEX":           "CREATE TABLE u (n bigserial PRIMARY KEY, p text, i text)",
		"CACHE 5":                       "CREATE TABLE u (n bigint GENERATED ALWAYS AS IDENTITY (CACHE 5) PRIMARY KEY, p text)",
		`"u".n has no unique index`:     "CREATE TABLE u (n bigserial UNIQUE DEFERRABLE, p text)",
		"is a partition":                "CREATE TABLE parent (n bigserial PRIMARY KEY, p text) PARTITION BY RANGE (n); CREATE TABLE u PARTITION OF parent FOR VALUES FROM (1) TO (9)",
		"row-level security":            "CREATE TABLE u (n bigserial PRIMARY KEY, p text); ALTER TABLE u ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
		"DEFAULT (nextval('u_n_seq'::r": "CREATE TABLE u (n bigserial PRIMARY KEY, p text); ALTER TABLE u ALTER n SET DEFAULT nextval('u_n_seq') + 7",
	} {
		mustExec(t, db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		mustExec(t, db, create)
		columns := &sqllog.Columns{Seq: "n", Data: "p"}
		if want == "CREATE UNIQUE INDEX" {
			columns.ID = "i"
		}
		role := connect(t, driver, dsn)
		if want == "row-level security" { // a superuser sees everything
			name := fmt.Sprint("limited", databases.Add(1))
			mustExec(t, db, "CREATE ROLE "+name+" LOGIN; GRANT ALL ON SCHEMA public TO "+name+"; ALTER TABLE u OWNER TO "+name)
			role = connect(t, driver, strings.Replace(dsn, "user=gapless", "user="+name, 1))
		}
		_, err := sqllog.Open(t.Context(), role, "u", &sqllog.Options{Columns: columns})
		if _, ok := errors.AsType[*sqllog.SchemaError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", create, err, want)
		}
	}
}
