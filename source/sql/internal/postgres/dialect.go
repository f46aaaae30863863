// Package postgres is PostgreSQL: its schema, its triggers, and the modes that
// only it has.
package postgres

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// Dialect is PostgreSQL 12 or later.
func Dialect() *engine.Dialect {
	return &engine.Dialect{
		Name:            "postgres",
		Modes:           []engine.Mode{engine.Sequencer, engine.Fence, engine.AtCommit},
		MappedMode:      engine.Fence,
		PollInterval:    2 * time.Millisecond,
		MaxPollInterval: 25 * time.Millisecond,
		MaxNameBytes:    63,
		Listens:         true,
		Captures:        engine.CaptureFeatures{TopicColumns: true, NumbersAsText: true, MetaSetting: true, MetaTransactionID: true},
		Probe:           probe,
		Syntax:          syntax{},
		Catalog:         catalog{},
		Schema:          schema{},
		Capturer:        capturer{},
		Placer:          placer(),
		Hint:            hint,
		Open:            open,
	}
}

func probe(ctx context.Context, q engine.Querier) error {
	return engine.AskVersion(ctx, q, "SELECT version()", "PostgreSQL ")
}

// syntax implements engine.Syntax.
type syntax struct{}

func (syntax) Quote(name string) string { return quote(name) }
func (syntax) Param(n int) string       { return "$" + strconv.Itoa(n) }

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal makes a string literal of any text without NUL, whatever the session
// takes a backslash for.
func literal(text string) string {
	if strings.Contains(text, `\`) {
		return "E'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(text) + "'"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// catalog implements engine.Catalog.
type catalog struct{}

// Resolve implements engine.Catalog.
func (catalog) Resolve(ctx context.Context, q engine.Querier, n engine.Names) (engine.Names, error) {
	var schema sql.NullString
	err := q.QueryRowContext(ctx, "SELECT (SELECT nspname FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace WHERE c.oid = to_regclass($1))", n.Log).Scan(&schema)
	if err != nil || !schema.Valid {
		return n, err
	}
	return n.In(schema.String), nil
}

func (catalog) Columns(ctx context.Context, q engine.Querier, n engine.Names, table string) (map[string]engine.Column, error) {
	return engine.ScanColumns(ctx, q, "SELECT attname, lower(format_type(atttypid, NULL)), attnotnull, atthasdef OR attidentity <> '' FROM pg_attribute"+
		" WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped", n.Qualify(table))
}

func (catalog) PrimaryKey(ctx context.Context, q engine.Querier, n engine.Names) ([]string, error) {
	return engine.List[string](ctx, q, "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"+
		" WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)", n.Log)
}
