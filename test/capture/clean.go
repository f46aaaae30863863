package capture

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// clean throws the sessions away and drops what the script made.
func (t *trial) clean(ctx context.Context) error {
	for _, conns := range t.sessions {
		for _, conn := range conns {
			if conn == nil {
				continue
			}
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // says: do not pool it
			_ = conn.Close()
		}
	}
	var errs []error
	for _, db := range []*sqlx.DB{t.judge.Plain.DB, t.judge.Captured.DB} {
		errs = append(errs, sweep(ctx, db, t.script.Dialect))
	}
	return errors.Join(errs...)
}

// sweep drops everything that is not a log's.
func sweep(ctx context.Context, db *sqlx.DB, d Dialect) error {
	var statements []string
	if err := db.SelectContext(ctx, &statements, sweepSQL(d)); err != nil {
		return err
	}
	for _, text := range statements {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// sweepSQL returns statements. What a log has is named *log*; tables of
// scripts never are.
func sweepSQL(d Dialect) string {
	switch d {
	case Postgres:
		return `SELECT 'ROLLBACK PREPARED ' || quote_literal(gid) FROM pg_prepared_xacts WHERE database = current_database()
			UNION ALL SELECT 'DROP SCHEMA ' || quote_ident(nspname) || ' CASCADE' FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
			UNION ALL SELECT 'DROP TABLE IF EXISTS ' || oid::regclass || ' CASCADE' FROM pg_class
				WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname !~ '_log'
			UNION ALL SELECT 'DROP FUNCTION ' || p.oid::regprocedure || ' CASCADE' FROM pg_proc p
				WHERE pronamespace = 'public'::regnamespace AND proname !~ '_log' AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = p.oid AND deptype = 'e')`
	case MariaDB:
		return "SELECT concat('DROP DATABASE `', replace(schema_name, '`', '``'), '`') FROM information_schema.schemata WHERE schema_name LIKE 'other %'" +
			" UNION ALL SELECT concat('DROP VIEW `', replace(table_name, '`', '``'), '`') FROM information_schema.views WHERE table_schema = database()" +
			" UNION ALL SELECT 'SET foreign_key_checks = 0'" +
			" UNION ALL SELECT concat('SET STATEMENT foreign_key_checks = 0 FOR DROP TABLE `', replace(table_name, '`', '``'), '`') FROM information_schema.tables" +
			" WHERE table_schema = database() AND table_type <> 'VIEW' AND table_name NOT LIKE 'change\\_log%'"
	}
	return `SELECT 'DROP ' || type || ' "' || replace(name, '"', '""') || '"' FROM sqlite_master
		WHERE type IN ('view', 'table') AND name NOT LIKE 'change\_log%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type DESC, rowid DESC`
}
