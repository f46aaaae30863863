package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// refuseMode compares the mode with what the tables that exist were made for.
// Two modes on one table would each number events without the other.
func (p *problems) refuseMode(ctx context.Context, db sqlx.QueryerContext, s settings) error {
	n := s.names
	var log, inbox, pass, sequence bool
	err := db.QueryRowxContext(ctx, "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL, to_regprocedure($4) IS NOT NULL,"+
		" EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $3 AND (atthasdef OR attidentity <> ''))",
		n.log, n.inbox, s.columns.Seq, passSignature(n)).Scan(&log, &inbox, &pass, &sequence)
	if err != nil || !log {
		return err
	}
	made := Mode("")
	switch {
	case s.Mode == Sequencer && sequence && inbox:
		made = AtCommit
	case s.Mode == Sequencer && sequence, s.Mode == AtCommit && sequence && !inbox:
		made = Fence
	case s.Mode == Fence && inbox && sequence:
		made = AtCommit
	case s.Mode != Sequencer && pass && !sequence:
		made = Sequencer
	}
	if made != "" {
		p.add("it was made in mode %[1]s, and events would be lost if a program used it in mode %[2]s: set Options.Mode to %[1]s", made, s.Mode)
	}
	return nil
}

// verifyPostgres looks at what keeps the order, and at what could hide or lose
// rows.
func (p *problems) verifyPostgres(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	for _, t := range checked(s) {
		if err := p.verifyRelation(ctx, db, n.qualify(t.name)); err != nil {
			return err
		}
	}
	if err := p.verifyIndexes(ctx, db, s); err != nil {
		return err
	}
	var err error
	switch s.Mode {
	case Sequencer:
		err = p.verifySequence(ctx, db, n.log, n.inbox, "pos")
		if err == nil {
			err = p.verifyFunction(ctx, db, passSignature(n), postgresPass(s))
		}
	case AtCommit:
		err = p.verifySequence(ctx, db, n.log, n.inbox, "pos")
		if err == nil {
			err = p.verifySequence(ctx, db, n.log, n.log, s.columns.Seq)
		}
		if err == nil {
			err = p.verifyTrigger(ctx, db, wantedTrigger{n.inbox, n.table + "_number", n.qualify(n.table + "_number"), rowInsert, true, "numbers the events"})
		}
		if err == nil {
			err = p.verifyFunction(ctx, db, n.qualify(n.table+"_number")+"()", atCommitSchema(s)[0])
		}
	default:
		err = p.verifySequence(ctx, db, n.log, n.log, s.columns.Seq)
	}
	if err != nil || s.Mode == Sequencer || s.InvisibleDeletes {
		return err
	}
	return p.verifyFloor(ctx, db, s)
}

func (p *problems) verifyFloor(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	function := n.qualify(n.table + "_floor")
	const what = "tells readers of deleted events (or set Options.InvisibleDeletes)"
	for _, w := range []wantedTrigger{
		{n.log, n.table + "_floor", function, afterDelete, false, what},
		{n.log, n.table + "_floor_truncate", function, beforeTruncate, false, what},
	} {
		if err := p.verifyTrigger(ctx, db, w); err != nil {
			return err
		}
	}
	return p.verifyFunction(ctx, db, function+"()", floorSchema(s)[0])
}

// verifyRelation refuses tables whose rows are lost in a crash, are hidden, or
// lie in other tables, on which no writer would be noticed.
func (p *problems) verifyRelation(ctx context.Context, db *sqlx.DB, table string) error {
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
		p.add("%s is no table but a view or the like: name the table", table)
	case persistence == "u":
		p.add("%s is UNLOGGED, so a crash of the server empties it: ALTER TABLE %[1]s SET LOGGED", table)
	case persistence == "t":
		p.add("%s is a temporary table, of which each connection has its own", table)
	}
	if hidden {
		p.add("%s has row-level security, which hides events from this user: ALTER TABLE %[1]s DISABLE ROW LEVEL SECURITY, or give the user BYPASSRLS", table)
	}
	if partition {
		p.add("%s is a partition, and writers that go through its parent would not be noticed: name the parent", table)
	}
	if child.Valid {
		p.add("the table %s inherits from %s, and those who write to it would not be noticed: use partitions, or ALTER TABLE %[1]s NO INHERIT %[2]s", child.String, table)
	}
	return nil
}

// verifySequence refuses, by name, what would break the order.
func (p *problems) verifySequence(ctx context.Context, db *sqlx.DB, log, table, column string) error {
	var name sql.NullString
	if err := db.QueryRowContext(ctx, sequenceQuery, table, column).Scan(&name); err != nil {
		return err
	}
	if name.String == "" {
		p.add("%s.%s is not filled in by a sequence, so its order says nothing about time: it must be bigserial, or bigint with a DEFAULT nextval(…)", table, column)
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
		p.add("the sequence %[1]s has CACHE %[2]d, so sessions draw numbers long before they use them: ALTER SEQUENCE %[1]s CACHE 1", name.String, cache)
	}
	if increment < 1 {
		p.add("the sequence %[1]s has INCREMENT %[2]d, so later events get lower numbers: ALTER SEQUENCE %[1]s INCREMENT 1", name.String, increment)
	}
	if cycle {
		p.add("the sequence %[1]s has CYCLE, so numbers come again: ALTER SEQUENCE %[1]s NO CYCLE", name.String)
	}
	if table != log { // its numbers are no seqs, and writers may have no right to read it
		return nil
	}
	var last int64
	err = db.QueryRowContext(ctx, "SELECT "+lastOf(name.String)).Scan(&last)
	if err == nil && last < 0 {
		p.add("the sequence %[1]s stands below 1, and no reader gets such numbers: ALTER SEQUENCE %[1]s MINVALUE 1 RESTART 1", name.String)
	}
	return err
}

// verifyDefault refuses a column that holds something else than the sequence's
// number, because the sequence then does not say how far it can have come.
func (p *problems) verifyDefault(ctx context.Context, db *sqlx.DB, table, column, sequence string) error {
	var other sql.NullString
	err := db.QueryRowContext(ctx, "SELECT (SELECT e FROM (SELECT pg_get_expr(d.adbin, d.adrelid) AS e FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"+
		" WHERE d.adrelid = to_regclass($1) AND a.attname = $2) x WHERE e <> 'nextval(' || quote_literal($3::text) || '::regclass)')", table, column, sequence).Scan(&other)
	if err == nil && other.Valid {
		p.add("%s.%s has the DEFAULT %s, so the sequence does not say how high its numbers are: it must be nextval alone", table, column, other.String)
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
	what                  string // it does
}

func (p *problems) verifyTrigger(ctx context.Context, db *sqlx.DB, w wantedTrigger) error {
	var enabled string
	var same bool
	err := db.QueryRowContext(ctx, "SELECT tgenabled::text, tgtype = $3 AND tgfoid IS NOT DISTINCT FROM to_regprocedure($4)::oid AND tginitdeferred = $5 AND tgqual IS NULL AND tgattr = ''"+
		" FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2", w.table, w.name, w.kind, w.function+"()", w.deferred).Scan(&enabled, &same)
	quoted := quoteName(Postgres, w.name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		p.add("its trigger %s, which %s, is missing: run EnsureSchema", w.name, w.what)
		return nil
	case err != nil:
		return err
	case !same:
		p.add("its trigger %s, which %s, is another one: DROP TRIGGER %s ON %s and run EnsureSchema", w.name, w.what, quoted, w.table)
	case enabled == "D" || enabled == "R":
		p.add("its trigger %s, which %s, is disabled: ALTER TABLE %s ENABLE TRIGGER %s", w.name, w.what, w.table, quoted)
	}
	return nil
}

// verifyFunction compares the body with that in the statement that makes it.
func (p *problems) verifyFunction(ctx context.Context, db *sqlx.DB, signature, create string) error {
	var source sql.NullString
	if err := db.QueryRowContext(ctx, "SELECT (SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure($1))", signature).Scan(&source); err != nil {
		return err
	}
	switch {
	case !source.Valid:
		p.add("its function %s is missing: run EnsureSchema", signature)
	case source.String != strings.Split(create, dollar)[1]:
		p.add("its function %s is not the one that this program needs: run EnsureSchema", signature)
	}
	return nil
}

// verifyIndexes wants unique indexes that serve the order, the IDs, and the one
// row of the head table.
func (p *problems) verifyIndexes(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	tables := [][2]string{{n.table, s.columns.Seq}, {n.table + "_head", "one"}}
	if s.columns.ID != "" {
		tables = append(tables, [2]string{n.table, s.columns.ID})
	}
	if s.Mode == Sequencer || s.Mode == AtCommit {
		tables = append(tables, [2]string{n.table + "_inbox", "pos"})
	}
	for _, t := range tables {
		predicate := ""
		if s.Columns == nil && t[1] == s.columns.ID {
			predicate = fmt.Sprintf("(%s IS NOT NULL)", t[1])
		}
		var found bool
		err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND a.attname = $2 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indnkeyatts = 1
			AND coalesce(pg_get_expr(i.indpred, i.indrelid), '') IN ('', $3))`, n.qualify(t[0]), t[1], predicate).Scan(&found)
		if err != nil {
			return err
		}
		if !found {
			p.noIndex(s, t[0], t[1])
		}
	}
	return nil
}
