package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Placer is what a place of workers needs of a dialect.
type Placer struct {
	// Statements make the tables that are missing. They can be run again.
	Statements func(n PlaceNames) []string

	State, Lease, Parked Types // the columns

	// Also compares what only the dialect has of one of the tables; nil: nothing.
	Also func(ctx context.Context, db DB, n Names, p *Problems) error

	Now     string // expression: microseconds since 1970, by the server's clock at this moment
	Insert  string // begins an INSERT that does nothing where the row is there
	Keep    string // ends it
	Replace string // ends an INSERT of parked events that puts them in the place of others
	Lock    string // ends a SELECT that locks its row or fails at once

	// Write runs fn in a transaction of ours.
	Write func(ctx context.Context, db DB, fn func(tx Session) error) error
	// Holders says who has the row of a state locked, if that is what the error
	// means; empty: it means something else.
	Holders func(ctx context.Context, q Querier, n PlaceNames, err error) string

	// Refused reports whether a commit has failed because of what was written, as
	// by a constraint that is checked then; nil: none is.
	Refused func(err error) bool

	// Begin begins the transaction of a handler; nil: begin alone.
	Begin func(ctx context.Context, begin func() error) error
	// Enter makes the server end the transaction when its client is silent for
	// idle, which is 0 if it must not, and returns the revision as the
	// transaction sees it; what restores the session goes to Leave.
	Enter func(ctx context.Context, tx Session, n PlaceNames, e PlaceEntry) (revision uint64, restore string, err error)
	// Leave commits or rolls back by statements, and restores the session; nil:
	// the methods of the transaction do.
	Leave func(ctx context.Context, tx Session, statement, restore string) error
}

// PlaceEntry is what a handler's transaction is for.
type PlaceEntry struct {
	Worker   string
	Revision uint64
	Idle     time.Duration
}

// PlaceTx is a transaction that a handler is given.
type PlaceTx interface {
	Session
	Commit() error
	Rollback() error
}

// PlaceNames are the names of the tables of a place.
type PlaceNames struct {
	Names
	State, Lease, Parked string // quoted, with the schema
}

// NewPlaceNames checks the name of a place, which is that of its first table,
// perhaps with a schema before a dot.
func NewPlaceNames(d *Dialect, name string) (PlaceNames, error) {
	n := NewNames(d.Syntax, name)
	most := d.MaxNameBytes - len("_parked")
	switch {
	case n.Table == "":
		return PlaceNames{}, errors.New("the name of the place is empty: give the name of its table, perhaps with a schema before a dot")
	case d.MaxNameBytes > 0 && len(n.Table) > most:
		return PlaceNames{}, fmt.Errorf("the name of the place is %d bytes long, and the names of its other tables begin with it: the database cuts names, so use at most %d", len(n.Table), most)
	}
	return PlaceNames{Names: n, State: n.Qualify(n.Table), Lease: n.Qualify(n.Table + "_lease"), Parked: n.Qualify(n.Table + "_parked")}, nil
}

// Settings are those that the parts for logs want.
func (n PlaceNames) Settings(d *Dialect) Settings {
	name := n.Table
	if n.Schema != "" {
		name = n.Schema + "." + n.Table
	}
	return Settings{Dialect: d, Name: name, Names: n.Names, Columns: OwnColumns()}
}

// EnsurePlace makes the tables that are missing, and returns the problems that
// are left. It makes none beside a table that is not ours.
func EnsurePlace(ctx context.Context, db DB, d *Dialect, n PlaceNames) (Problems, error) {
	p, missing, err := verifyPlace(ctx, db, d, n)
	if err != nil || len(p) > len(missing) || len(missing) == 0 {
		return p, err
	}
	made := d.Schema.Alone(ctx, db, n.Settings(d), func(tx Session) error { return ExecAll(ctx, tx, d.Placer.Statements(n)) })
	p, _, err = verifyPlace(ctx, db, d, n)
	return p, errors.Join(made, err)
}

// VerifyPlace compares the tables with what a place needs and changes nothing.
func VerifyPlace(ctx context.Context, db DB, d *Dialect, n PlaceNames) (Problems, error) {
	p, _, err := verifyPlace(ctx, db, d, n)
	return p, err
}

func verifyPlace(ctx context.Context, db DB, d *Dialect, n PlaceNames) (p Problems, missing []string, err error) {
	s := n.Settings(d)
	if p, err = d.Schema.Refuse(ctx, db, s); err != nil {
		return nil, nil, err
	}
	for _, t := range []struct {
		table string
		wants Types
		key   []string
	}{
		{n.Table, d.Placer.State, []string{"name"}},
		{n.Table + "_lease", d.Placer.Lease, []string{"name"}},
		{n.Table + "_parked", d.Placer.Parked, []string{"name", "seq"}},
	} {
		before := len(p)
		has, err := d.Catalog.Columns(ctx, db, n.Names, t.table)
		if err != nil {
			return nil, nil, err
		}
		if len(has) == 0 {
			p.Add("the table %s does not exist: leave PlaceOptions.NoSchema out, or apply PlaceSchema as a migration", n.Qualify(t.table))
			missing = append(missing, t.table)
			continue
		}
		p.compare(s, table{name: t.table, own: true, wants: t.wants, has: has}, false)
		if len(p) > before {
			p.Add("%s is no table of a place: give the place another name", n.Qualify(t.table))
			continue
		}
		if err := p.verifyPlaceTable(ctx, db, d, n.Rename(t.table), t.key); err != nil {
			return nil, nil, err
		}
	}
	return p, missing, nil
}

func (p *Problems) verifyPlaceTable(ctx context.Context, db DB, d *Dialect, n Names, key []string) error {
	has, err := d.Catalog.PrimaryKey(ctx, db, n)
	if err != nil {
		return err
	}
	if !slices.Equal(has, key) {
		p.Add("the primary key of %s is %q, it must be %q", n.Log, has, key)
	}
	if d.Placer.Also == nil {
		return nil
	}
	return d.Placer.Also(ctx, db, n, p)
}

// ReadRevision is for Enter: the query returns the revision of the worker, and
// what else is scanned. No row is revision 0.
func ReadRevision(ctx context.Context, q Querier, query string, args []any, more ...any) (uint64, error) {
	var revision int64
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }() // only frees it
	for rows.Next() {
		if err := rows.Scan(append([]any{&revision}, more...)...); err != nil {
			return 0, err
		}
	}
	return uint64(revision), rows.Err()
}
