package sqllog_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	memlog "github.com/gapless-go/gapless/source/mem"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

var placeVariants = []struct {
	name      string
	open      func(tb testing.TB) (driver, dsn string)
	oneWriter bool
}{
	{"postgres", freshPostgres, false},
	{"postgres/pooler", pooledPostgres, false},
	{"mariadb", freshMariaDB, false},
	{"sqlite", freshSQLite, true},
}

func TestPlace(t *testing.T) {
	for _, v := range placeVariants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			placetest.Run(t, func() (placetest.Store[*sql.Tx], error) {
				driver, dsn := v.open(t)
				db := connect(t, driver, dsn)
				first, err := sqllog.NewStore(t.Context(), db, nil)
				if err != nil {
					return placetest.Store[*sql.Tx]{}, err
				}
				t.Cleanup(func() { _ = first.Close() })
				second := connect(t, driver, dsn)
				store := placeStore[*sql.Tx](t, db, v.oneWriter)
				if store.Place, err = first.Place(t.Context(), "workers", nil); err != nil {
					return store, err
				}
				store.Second, err = sqllog.NewPlace(t.Context(), second, second.BeginTx, "workers", nil)
				return store, err
			})
		})
	}
}

// placeStore has a list in the database, and a log elsewhere.
func placeStore[T sqllog.PlaceTx](tb testing.TB, db *sqlx.DB, oneWriter bool) placetest.Store[T] {
	tb.Helper()
	serial := map[string]string{"postgres": "bigserial PRIMARY KEY", "mysql": "BIGINT PRIMARY KEY AUTO_INCREMENT", "sqlite": "INTEGER PRIMARY KEY"}[db.DriverName()]
	mustExec(tb, db, "CREATE TABLE list (n "+serial+", word VARCHAR(100) NOT NULL)")
	insert := db.Rebind("INSERT INTO list (word) VALUES (?)")
	return placetest.Store[T]{
		Log:       memlog.New(nil),
		OneWriter: oneWriter,
		Write: func(ctx context.Context, tx T, text string) error {
			_, err := tx.ExecContext(ctx, insert, text)
			return err
		},
		Written: func(ctx context.Context) (list []string, err error) {
			err = db.SelectContext(ctx, &list, "SELECT word FROM list ORDER BY n")
			return list, err
		},
	}
}

// A handler may have the transaction of sqlx.
func TestPlaceOfAnotherTransaction(t *testing.T) {
	driver, dsn := freshSQLite(t)
	db := connect(t, driver, dsn)
	place, err := sqllog.NewPlace(t.Context(), db, db.BeginTxx, "workers", nil)
	if err != nil {
		t.Fatal(err)
	}
	var _ cdc.Place[*sqlx.Tx] = place
	err = place.Apply(t.Context(), "w", 0, func(ctx context.Context, tx *sqlx.Tx) (cdc.Change, error) {
		var one int
		return cdc.Change{}, tx.GetContext(ctx, &one, tx.Rebind("SELECT ?"), 1)
	})
	if err != nil {
		t.Error(err)
	}
}
