package mysql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// sampleRows is how many rows of the table Try writes to its twin.
const sampleRows = 20

// twinOf is a table beside the captured one with columns like its.
func twinOf(c *engine.Capture) *engine.Capture {
	twin := *c
	twin.On = engine.NamesIn(syntax{}, c.On.Schema, c.Name("try"))
	return &twin
}

// Try implements engine.CapturePlan: the triggers run on a twin of the table, with
// rows of it. What they write is rolled back before anybody can read it.
func (c capture) Try(ctx context.Context, db engine.DB) error {
	twin := c
	twin.Capture = twinOf(c.Capture)
	return schema{}.Alone(ctx, db, c.Settings, func(tx engine.Session) error {
		drop := "DROP TABLE IF EXISTS " + twin.On.Log
		create := []string{drop, "CREATE TABLE " + twin.On.Log + " LIKE " + c.On.Log}
		err := engine.ExecAll(ctx, tx, engine.Creates(create, twin.triggers()))
		if err == nil {
			err = c.feed(ctx, tx, twin)
		}
		_, dropped := tx.ExecContext(context.WithoutCancel(ctx), drop)
		return errors.Join(err, dropped)
	})
}

// feed inserts, updates and deletes rows in the twin. The session's own mode lets
// it take whatever the table has; the triggers have another.
func (c capture) feed(ctx context.Context, tx engine.Session, twin capture) error {
	var columns []string
	for _, name := range slices.Sorted(maps.Keys(c.details)) {
		if !c.details[name].generated {
			columns = append(columns, c.On.Quote(name))
		}
	}
	list := strings.Join(columns, ", ")
	err := engine.ExecAll(ctx, tx, []string{
		"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", // with which the sample locks no row
		"START TRANSACTION",
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s LIMIT %d", twin.On.Log, list, list, c.On.Log, sampleRows),
	})
	if err == nil {
		err = insertDefaults(ctx, tx, twin)
	}
	if err == nil {
		err = engine.ExecAll(ctx, tx, []string{
			"UPDATE " + twin.On.Log + " SET " + columns[0] + " = " + columns[0],
			"DELETE FROM " + twin.On.Log,
		})
	}
	_, ended := tx.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return errors.Join(err, ended)
}

// insertDefaults inserts one row into a twin that has none. A table may refuse a
// row of defaults; then its triggers are tried by the first of its own.
func insertDefaults(ctx context.Context, tx engine.Session, twin capture) error {
	var rows int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+twin.On.Log).Scan(&rows); err != nil || rows > 0 {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+twin.On.Log+" () VALUES ()")
	if err != nil && hasNumber(err, "1048", "1364", "1366", "1416", "3819", "4025") {
		return nil
	}
	return err
}
