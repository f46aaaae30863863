package sqllog

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// EnsureSchema creates the tables, indexes and triggers of the log that are
// missing. It changes nothing that exists, may be called by several processes
// at once, and ends with [Verify]. Open calls it unless Options.NoSchema is
// set.
func EnsureSchema(ctx context.Context, db DB, name string, opts *Options) error {
	if err := withSettings(ctx, db, name, opts, ensureSchema); err != nil {
		return fmt.Errorf("sql: ensure schema: %w", err)
	}
	return nil
}

// Verify compares the database with what the log needs and changes nothing. A
// difference is a [*SchemaError].
func Verify(ctx context.Context, db DB, name string, opts *Options) error {
	if err := withSettings(ctx, db, name, opts, verify); err != nil {
		return fmt.Errorf("sql: verify: %w", err)
	}
	return nil
}

// Schema returns the statements of EnsureSchema, for migration tools. They can
// be run again.
func Schema(d Dialect, name string, opts *Options) (string, error) {
	dialect, err := named(d)
	if err != nil {
		return "", fmt.Errorf("sql: schema: %w", err)
	}
	s, err := opts.settings(dialect, name)
	if err != nil {
		return "", fmt.Errorf("sql: schema: %w", err)
	}
	return strings.Join(dialect.Schema.Statements(s), ";\n\n") + ";\n", nil
}

func withSettings(ctx context.Context, db DB, name string, opts *Options, do func(context.Context, DB, engine.Settings) error) error {
	dialect, err := dialectOf(ctx, db, opts.dialect())
	if err != nil {
		return err
	}
	s, err := opts.settings(dialect, name)
	if err != nil {
		return err
	}
	return do(ctx, db, s)
}

// dialect of the options, which may be nil.
func (o *Options) dialect() Dialect {
	if o == nil {
		return ""
	}
	return o.Dialect
}

func ensureSchema(ctx context.Context, db DB, s engine.Settings) error {
	problems, err := engine.Await(ctx, s.Dialect, nil, func(ctx context.Context) (engine.Problems, error) { return engine.EnsureSchema(ctx, db, s) })
	return explain(s, schemaError(s.Name, problems, err))
}

func verify(ctx context.Context, db DB, s engine.Settings) error {
	problems, err := engine.Await(ctx, s.Dialect, nil, func(ctx context.Context) (engine.Problems, error) { return s.Dialect.Schema.Verify(ctx, db, s) })
	return explain(s, schemaError(s.Name, problems, err))
}
