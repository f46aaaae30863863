package sqllog

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// postgresLocked runs fn in a transaction while no other process makes a
// schema.
func postgresLocked(ctx context.Context, db *sqlx.DB, s settings, fn func(tx *sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "gapless schema "+s.Table); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// verifyPostgres looks at sequences, triggers and the index of the order.
func (p *problems) verifyPostgres(ctx context.Context, db *sqlx.DB, s settings) error {
	n := s.names
	table, column := n.log, s.columns.Seq
	if s.Mode == Sequencer || s.Mode == AtCommit {
		table, column = n.inbox, "pos"
	}
	if err := p.verifySequence(ctx, db, table, column); err != nil {
		return err
	}
	if s.Mode == Sequencer {
		var found bool
		if err := db.QueryRowContext(ctx, "SELECT to_regproc($1) IS NOT NULL", passName(n)).Scan(&found); err != nil {
			return err
		}
		if !found {
			p.add("its function %s is missing: run EnsureSchema", passName(n))
		}
	}
	if s.Mode == AtCommit {
		if err := p.verifySequence(ctx, db, n.log, s.columns.Seq); err != nil {
			return err
		}
		if err := p.verifyTrigger(ctx, db, n.inbox, n.table+"_number", "numbers the events"); err != nil {
			return err
		}
	}
	if s.Mode != Sequencer && !s.InvisibleDeletes {
		for _, trigger := range []string{n.table + "_floor", n.table + "_floor_truncate"} {
			if err := p.verifyTrigger(ctx, db, n.log, trigger, "tells readers of deleted events (or set Options.InvisibleDeletes)"); err != nil {
				return err
			}
		}
	}
	return p.verifyIndex(ctx, db, n.log, s.columns.Seq)
}

// verifySequence refuses, by name, what would break the order.
func (p *problems) verifySequence(ctx context.Context, db *sqlx.DB, table, column string) error {
	var name sql.NullString
	if err := db.QueryRowContext(ctx, sequenceQuery, table, column).Scan(&name); err != nil {
		return err
	}
	if name.String == "" {
		p.add("%s.%s is not filled in by a sequence, so its order says nothing about time: it must be bigserial, or bigint with a DEFAULT nextval(…)", table, column)
		return nil
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
	return nil
}

func (p *problems) verifyTrigger(ctx context.Context, db *sqlx.DB, table, trigger, what string) error {
	var enabled sql.NullString
	err := db.QueryRowContext(ctx, "SELECT (SELECT tgenabled::text FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = $2)", table, trigger).Scan(&enabled)
	switch {
	case err != nil:
		return err
	case !enabled.Valid:
		p.add("its trigger %s, which %s, is missing: run EnsureSchema", trigger, what)
	case enabled.String == "D" || enabled.String == "R":
		p.add("its trigger %s, which %s, is disabled: ALTER TABLE %s ENABLE TRIGGER %s", trigger, what, table, trigger)
	}
	return nil
}

// verifyIndex wants an index that begins with the order.
func (p *problems) verifyIndex(ctx context.Context, db *sqlx.DB, table, column string) error {
	var indexed bool
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = to_regclass($1) AND a.attname = $2 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1)`, table, column).Scan(&indexed)
	if err == nil && !indexed {
		p.add("%s.%s has no unique index: make it the primary key", table, column)
	}
	return err
}
