package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Refuse implements engine.Schema: two modes on one table would each number
// events without the other.
func (schema) Refuse(ctx context.Context, q engine.Querier, s engine.Settings) (p engine.Problems, err error) {
	n := s.Names
	var log, inbox, pass, sequence bool
	err = q.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL, to_regprocedure($4) IS NOT NULL,"+
		" EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $3 AND (atthasdef OR attidentity <> ''))",
		n.Log, n.Inbox, s.Columns.Seq, passSignature(n)).Scan(&log, &inbox, &pass, &sequence)
	if err != nil || !log {
		return nil, err
	}
	made := engine.Mode("")
	switch {
	case s.Mode == engine.Sequencer && sequence && inbox:
		made = engine.AtCommit
	case s.Mode == engine.Sequencer && sequence, s.Mode == engine.AtCommit && sequence && !inbox:
		made = engine.Fence
	case s.Mode == engine.Fence && inbox && sequence:
		made = engine.AtCommit
	case s.Mode != engine.Sequencer && pass && !sequence:
		made = engine.Sequencer
	}
	if made != "" {
		p.Add("it was made in mode %[1]s, and events would be lost if a program used it in mode %[2]s: set Options.Mode to %[1]s", made, s.Mode)
	}
	return p, nil
}

// check collects what is wrong.
type check struct{ *engine.Problems }

// Verify implements engine.Schema.
func (schema) Verify(ctx context.Context, db engine.DB, s engine.Settings) (engine.Problems, error) {
	return engine.Compare(ctx, db, s, engine.Need{
		Head:       engine.OneType("one smallint", "version integer", "epoch text", "floor bigint", "head bigint", "server text"),
		Log:        engine.OneType("seq bigint", "id text", "topic text", "type text", "key text", "time timestamp with time zone", "data bytea", "meta jsonb"),
		Seq:        []string{"bigint"}, // an integer wraps or fails after 2^31 events
		SeqNotNull: true,
		Also:       func(ctx context.Context, p *engine.Problems) error { return check{p}.verify(ctx, db, s) },
	})
}

// verify looks at what keeps the order, and at what could hide or lose rows.
func (p check) verify(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	for _, table := range s.Tables() {
		if err := p.verifyRelation(ctx, db, n.Qualify(table)); err != nil {
			return err
		}
	}
	if err := p.verifyIndexes(ctx, db, s); err != nil {
		return err
	}
	var err error
	switch s.Mode {
	case engine.Sequencer:
		err = p.verifyPosition(ctx, db, n.Inbox)
		if err == nil {
			err = p.verifyFunction(ctx, db, n, passFunction(s))
		}
	case engine.AtCommit:
		err = p.verifyPosition(ctx, db, n.Inbox)
		if err == nil {
			err = p.verifySequence(ctx, db, n.Log, n.Log, s.Columns.Seq)
		}
		if err == nil {
			err = p.verifyTrigger(ctx, db, wantedTrigger{
				table: n.Inbox, name: n.Table + "_number", function: n.Qualify(n.Table + "_number"), kind: rowInsert, deferred: true, what: "numbers the events",
			})
		}
		if err == nil {
			err = p.verifyFunction(ctx, db, n, atCommitFunction(s))
		}
	default:
		err = p.verifySequence(ctx, db, n.Log, n.Log, s.Columns.Seq)
	}
	if err == nil && !s.Mapped {
		err = p.verifyTopics(ctx, db, n)
	}
	if err == nil && !s.Mapped {
		err = p.verifyFunction(ctx, db, n, appendFunction(s))
	}
	if err != nil || s.Mode == engine.Sequencer || s.InvisibleDeletes {
		return err
	}
	return p.verifyFloor(ctx, db, s)
}

func (p check) verifyFloor(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	function := n.Qualify(n.Table + "_floor")
	const what = "tells readers of deleted events (or set Options.InvisibleDeletes)"
	for _, w := range []wantedTrigger{
		{table: n.Log, name: n.Table + "_floor", function: function, kind: afterDelete, oldTable: "gapless_gone", what: what},
		{table: n.Log, name: n.Table + "_floor_truncate", function: function, kind: beforeTruncate, what: what},
	} {
		if err := p.verifyTrigger(ctx, db, w); err != nil {
			return err
		}
	}
	return p.verifyFunction(ctx, db, n, floorFunction(s))
}

// verifyRelation refuses tables whose rows are lost in a crash, are hidden, or
// lie in other tables, on which no writer would be noticed.
func (p check) verifyRelation(ctx context.Context, db engine.DB, table string) error {
	var kind, persistence string
	var hidden, partition bool
	var child sql.NullString
	err := db.QueryRowContext(ctx, "SELECT relkind::text, relpersistence::text, row_security_active(oid), relispartition,"+
		" (SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = c.oid AND c.relkind = 'r') FROM pg_class c WHERE oid = to_regclass($1)", table).
		Scan(&kind, &persistence, &hidden, &partition, &child)
	if err != nil {
		return err
	}
	switch {
	case kind != "r" && kind != "p":
		p.Add("%s is no table but a view or the like: name the table", table)
	case persistence == "u":
		p.Add("%s is UNLOGGED, so a crash of the server empties it: ALTER TABLE %[1]s SET LOGGED", table)
	case persistence == "t":
		p.Add("%s is a temporary table, of which each connection has its own", table)
	}
	if hidden {
		p.Add("%s has row-level security, which hides events from this user: ALTER TABLE %[1]s DISABLE ROW LEVEL SECURITY, or give the user BYPASSRLS", table)
	}
	if partition {
		p.Add("%s is a partition, and writers that go through its parent would not be noticed: name the parent", table)
	}
	if child.Valid {
		p.Add("the table %s inherits from %s, and those who write to it would not be noticed: use partitions, or ALTER TABLE %[1]s NO INHERIT %[2]s", child.String, table)
	}
	return nil
}

// verifySequence refuses, by name, what would break the order.
func (p check) verifySequence(ctx context.Context, db engine.DB, log, table, column string) error {
	var name sql.NullString
	if err := db.QueryRowContext(ctx, sequenceQuery, table, column).Scan(&name); err != nil {
		return err
	}
	if name.String == "" {
		p.Add("%s.%s is not filled in by a sequence, so its order says nothing about time: it must be bigserial, or bigint with a DEFAULT nextval(…)", table, column)
		return nil
	}
	if err := p.verifyDefault(ctx, db, table, column, name.String); err != nil {
		return err
	}
	var cache, increment int64
	var cycle bool
	err := db.QueryRowContext(ctx, "SELECT seqcache, seqincrement, seqcycle FROM pg_sequence WHERE seqrelid = $1::regclass", name.String).Scan(&cache, &increment, &cycle)
	if err != nil {
		return err
	}
	if cache > 1 {
		p.Add("the sequence %[1]s has CACHE %[2]d, so sessions draw numbers long before they use them: ALTER SEQUENCE %[1]s CACHE 1", name.String, cache)
	}
	if increment < 1 {
		p.Add("the sequence %[1]s has INCREMENT %[2]d, so later events get lower numbers: ALTER SEQUENCE %[1]s INCREMENT 1", name.String, increment)
	}
	if cycle {
		p.Add("the sequence %[1]s has CYCLE, so numbers come again: ALTER SEQUENCE %[1]s NO CYCLE", name.String)
	}
	if table != log { // its numbers are no seqs, and writers may have no right to read it
		return nil
	}
	var last int64
	err = db.QueryRowContext(ctx, "SELECT "+lastOf(name.String)).Scan(&last)
	if err == nil && last < 0 {
		p.Add("the sequence %[1]s stands below 1, and no reader gets such numbers: ALTER SEQUENCE %[1]s MINVALUE 1 RESTART 1", name.String)
	}
	return err
}

// verifyPosition wants inbox rows to be ordered as their writers came, without a
// sequence.
func (p check) verifyPosition(ctx context.Context, db engine.DB, inbox string) error {
	var ordered, indexed bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"+
		" WHERE d.adrelid = to_regclass($1) AND a.attname = 'pos' AND a.attnotnull AND pg_get_expr(d.adbin, d.adrelid) LIKE '%pg_current_wal_insert_lsn%'),"+
		" EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"+
		" WHERE i.indrelid = to_regclass($1) AND a.attname = 'pos' AND i.indisvalid AND i.indpred IS NULL)", inbox).Scan(&ordered, &indexed)
	if err == nil && !ordered {
		p.Add("%s.pos has not the DEFAULT that orders events: it must be bigint NOT NULL DEFAULT %s", inbox, position)
	}
	if err == nil && !indexed {
		p.Add("%s.pos has no index, so every look reads the whole table: CREATE INDEX ON %[1]s (pos)", inbox)
	}
	return err
}

// verifyDefault refuses a column that holds something else than the sequence's
// number, because the sequence then does not say how far it can have come.
func (p check) verifyDefault(ctx context.Context, db engine.DB, table, column, sequence string) error {
	var other sql.NullString
	err := db.QueryRowContext(ctx, "SELECT (SELECT e FROM (SELECT pg_get_expr(d.adbin, d.adrelid) AS e FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"+
		" WHERE d.adrelid = to_regclass($1) AND a.attname = $2) x WHERE e <> 'nextval(' || quote_literal($3::text) || '::regclass)')", table, column, sequence).Scan(&other)
	if err == nil && other.Valid {
		p.Add("%s.%s has the DEFAULT %s, so the sequence does not say how high its numbers are: it must be nextval alone", table, column, other.String)
	}
	return err
}

// The kinds of our triggers, as pg_trigger.tgtype has them.
const (
	rowInsert      = 1 | 4
	afterInsert    = 4
	afterDelete    = 8
	afterUpdate    = 16
	afterTruncate  = 32
	beforeTruncate = 2 | 32
)

// wantedTrigger is a trigger as it must be.
type wantedTrigger struct {
	table, name, function string // the name is not quoted
	kind                  int
	deferred              bool
	oldTable, newTable    string // transition tables; empty: it has none
	what                  string // it does
	remedy                string // empty: run EnsureSchema
}

// condition on pg_trigger: it is the wanted one. function is an expression.
func (w wantedTrigger) condition(function string) string {
	return fmt.Sprintf("tgtype = %d AND tgfoid IS NOT DISTINCT FROM %s::oid AND tginitdeferred = %t AND tgqual IS NULL AND tgattr = ''"+
		" AND coalesce(tgoldtable, '') = %s AND coalesce(tgnewtable, '') = %s", w.kind, function, w.deferred, literal(w.oldTable), literal(w.newTable))
}

func (p check) verifyTrigger(ctx context.Context, db engine.Querier, w wantedTrigger) error {
	var enabled string
	var same bool
	err := db.QueryRowContext(ctx, "SELECT tgenabled::text, "+w.condition("to_regprocedure($3)")+" FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2",
		w.table, w.name, w.function+"()").Scan(&enabled, &same)
	remedy := w.remedy
	if remedy == "" {
		remedy = "run EnsureSchema"
	}
	quoted := quote(w.name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		p.Add("its trigger %s, which %s, is missing: %s", w.name, w.what, remedy)
		return nil
	case err != nil:
		return err
	case !same:
		p.Add("its trigger %s, which %s, is another one: DROP TRIGGER %s ON %s and %s", w.name, w.what, quoted, w.table, remedy)
	case enabled == "D" || enabled == "R":
		p.Add("its trigger %s, which %s, is disabled: ALTER TABLE %s ENABLE TRIGGER %s", w.name, w.what, w.table, quoted)
	}
	return nil
}

// verifyFunction compares the function, with its names resolved as they were when
// it was made.
func (p check) verifyFunction(ctx context.Context, db engine.DB, n engine.Names, define func(n engine.Names) function) error {
	resolved, err := catalog{}.Resolve(ctx, db, n)
	if err != nil {
		return err
	}
	f := define(resolved)
	found, same, err := f.installed(ctx, db, f.identity())
	switch {
	case err != nil:
		return err
	case !found:
		p.Add("its function %s is missing: run EnsureSchema", f.signature)
	case !same:
		p.Add("its function %s is not the one that this program needs: run EnsureSchema", f.signature)
	}
	return nil
}

// verifyIndexes wants unique indexes that serve the order, the IDs, and the one
// row of the head table.
func (p check) verifyIndexes(ctx context.Context, db engine.DB, s engine.Settings) error {
	n := s.Names
	tables := [][2]string{{n.Table, s.Columns.Seq}, {n.Table + "_head", "head"}}
	if s.Columns.ID != "" {
		tables = append(tables, [2]string{n.Table, s.Columns.ID})
	}
	for _, t := range tables {
		predicate := ""
		if !s.Mapped && t[1] == s.Columns.ID {
			predicate = fmt.Sprintf("(%s IS NOT NULL)", t[1])
		}
		var found bool
		err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND a.attname = $2 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indnkeyatts = 1
			AND coalesce(pg_get_expr(i.indpred, i.indrelid), '') IN ('', $3))`, n.Qualify(t[0]), t[1], predicate).Scan(&found)
		if err != nil {
			return err
		}
		if !found {
			p.NoIndex(s, t[0], t[1], true)
		}
	}
	return nil
}
