package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/cmd/gapless/internal/source"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// openOrMake opens the log, and makes it if it is missing and the user agrees.
func (a *app) openOrMake(ctx context.Context) (*source.Source, error) {
	s, err := a.source(ctx, source.Write)
	missing, ok := errors.AsType[*source.Missing](err)
	if !ok {
		return s, err
	}
	address := missing.Address
	if address.Kind.IsSQL() {
		sql, err := a.schemaSQL(address.Kind.Dialect(), "")
		if err != nil {
			return nil, err
		}
		a.show("The log "+address.Name+" does not exist yet. It is made by:", sql)
	}
	if err := a.ask(fmt.Sprintf("The log %s will be made in %s.", address.Name, address)); err != nil {
		return nil, err
	}
	return a.source(ctx, source.Create)
}

// show writes SQL that is about to run, unless it was agreed to before.
func (a *app) show(title, sql string) {
	if !a.yes {
		fmt.Fprintf(a.Err, "%s\n\n%s\n", title, sql)
	}
}

// captureTables captures those tables that are not captured as they should be,
// if the user agrees to the SQL.
func (a *app) captureTables(ctx context.Context, s *source.Source, tables []sqllog.Table) error {
	if len(tables) == 0 {
		return nil
	}
	log, ok := s.Log.(*sqllog.Log)
	if !ok {
		return usagef("tables are captured in SQL databases, and the source is %s", s.Address.Kind)
	}
	var due []sqllog.Table
	for _, t := range tables {
		err := log.VerifyCapture(ctx, t)
		if err == nil {
			continue
		}
		if _, ok := errors.AsType[*sqllog.SchemaError](err); !ok {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		statements, err := log.CaptureStatements(ctx, t)
		if err != nil {
			return err
		}
		a.show("The changes of "+t.Name+" are captured by:", script(s.Address.Kind, statements))
		due = append(due, t)
	}
	if len(due) == 0 {
		return nil
	}
	if err := a.ask(fmt.Sprintf("Triggers will be installed on %s.", strings.Join(tableNames(due), ", "))); err != nil {
		return err
	}
	for _, t := range due {
		if err := log.Capture(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// named are tables with what Capture does by default.
func named(names []string) []sqllog.Table {
	tables := make([]sqllog.Table, len(names))
	for i, name := range names {
		tables[i] = sqllog.Table{Name: name}
	}
	return tables
}

func tableNames(tables []sqllog.Table) []string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	return names
}

// script joins statements so that the client of the database takes them.
func script(kind source.Kind, statements []string) string {
	switch kind {
	case source.MySQL: // the text of a trigger has semicolons
		return "DELIMITER //\n" + strings.Join(statements, "//\n") + "//\nDELIMITER ;\n"
	case source.Postgres:
		statements = append(append([]string{"BEGIN"}, statements...), "COMMIT")
	}
	return strings.Join(statements, ";\n") + ";\n"
}
