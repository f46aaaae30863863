package sqllog

import (
	"context"
	"errors"
	"fmt"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
	"github.com/gapless-go/gapless/source/sql/internal/mysql"
	"github.com/gapless-go/gapless/source/sql/internal/postgres"
	"github.com/gapless-go/gapless/source/sql/internal/sqlite"
)

// Dialect is a family of SQL databases.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres" // PostgreSQL 12 or later
	SQLite   Dialect = "sqlite"   // SQLite 3.35 or later
	MySQL    Dialect = "mysql"    // MySQL 8.0.14 or MariaDB 10.6 or later
)

// dialects is the only place that knows them all.
func dialects() []*engine.Dialect {
	return []*engine.Dialect{postgres.Dialect(), mysql.Dialect(), sqlite.Dialect()}
}

// named returns the dialect of that name.
func named(name Dialect) (*engine.Dialect, error) {
	var names []string
	for _, d := range dialects() {
		if d.Name == string(name) {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return nil, fmt.Errorf("the dialect %q is unknown: use one of %v", name, names)
}

// dialectOf returns the dialect of that name; if it is empty, the one of the
// server that answers.
func dialectOf(ctx context.Context, db DB, name Dialect) (*engine.Dialect, error) {
	if name != "" {
		return named(name)
	}
	return engine.Await(ctx, nil, nil, func(ctx context.Context) (*engine.Dialect, error) {
		return engine.RetryCut(ctx, func(ctx context.Context) (*engine.Dialect, error) { return ask(ctx, db) })
	})
}

// ask tries each dialect's probe.
func ask(ctx context.Context, db DB) (*engine.Dialect, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it only goes back to the pool
	var refused []error
	for _, d := range dialects() {
		err := d.Probe(ctx, conn)
		if err == nil {
			return d, nil
		}
		refused = append(refused, err)
	}
	return nil, fmt.Errorf("the dialect of the database is not known, set Options.Dialect: %w", errors.Join(refused...))
}
