package sqllog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// What a commit refuses because of one event is a failure on that event: it is
// parked, and the others go on.
func TestADeferredConstraintFailsOnItsEvent(t *testing.T) {
	eachPlace(t, "postgres sqlite", func(t *testing.T, db *sqlx.DB) {
		if db.DriverName() == "sqlite" {
			driver, dsn := freshSQLite(t)
			db = connect(t, driver, dsn+"&_pragma=foreign_keys(1)")
		}
		mustExec(t, db, "CREATE TABLE owners (id INTEGER PRIMARY KEY)")
		mustExec(t, db, "CREATE TABLE orders (n INTEGER NOT NULL, owner INTEGER NOT NULL REFERENCES owners (id) DEFERRABLE INITIALLY DEFERRED)")
		mustExec(t, db, "INSERT INTO owners VALUES (1)")
		place, log := newPlace(t, db, nil), memlog.New(nil)
		for n := range 5 {
			if _, err := log.Append(t.Context(), cdc.Event{Key: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			done <- cdc.Consume(ctx, log, "w", place, cdc.Handler[*sql.Tx]{
				Apply: func(ctx context.Context, tx *sql.Tx, d *cdc.Delivery) error {
					owner := 1
					if d.Event.Seq == 3 {
						owner = 2 // there is none
					}
					_, err := tx.ExecContext(ctx, db.Rebind("INSERT INTO orders VALUES (?, ?)"), d.Event.Seq, owner)
					return err
				},
			}, &cdc.ConsumeOptions{Start: cdc.Beginning(), MaxTries: 2})
		}()
		state := cdc.WorkerState{}
		for err := error(nil); state.Cursor.Seq < 5; time.Sleep(10 * time.Millisecond) {
			if state, err = place.Load(ctx, "w"); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(state.Parked) != 1 || state.Parked[0].Event.Seq != 3 || state.Parked[0].Tries != 2 {
			t.Errorf("parked are %+v, want event 3 alone", state.Parked)
		}
		var seqs []int
		if err := db.SelectContext(t.Context(), &seqs, "SELECT n FROM orders ORDER BY n"); err != nil || fmt.Sprint(seqs) != "[1 2 4 5]" {
			t.Errorf("the orders are %v, %v, want all but that of event 3, once", seqs, err)
		}
	})
}

// A worker whose pool the application has closed ends, wherever it is.
func TestPoolThatIsClosedEndsTheWorker(t *testing.T) {
	eachPlace(t, "postgres mariadb sqlite", func(t *testing.T, db *sqlx.DB) {
		place, log := newPlace(t, db, nil), memlog.New(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		active, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- cdc.Consume(ctx, log, "w", place, cdc.Handler[*sql.Tx]{
				Apply: func(context.Context, *sql.Tx, *cdc.Delivery) error { return nil },
			}, &cdc.ConsumeOptions{OnActive: func(cdc.Lease) { close(active) }})
		}()
		<-active
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(ctx, cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Consume returned %v, want ErrClosed", err)
		}
		_, lease := place.Lease(t.Context(), "w", "h", time.Second)
		_, load := place.Load(t.Context(), "w")
		_, list := place.Workers(t.Context())
		apply := place.Apply(t.Context(), "w", 1, func(context.Context, *sql.Tx) (cdc.Change, error) { return cdc.Change{}, nil })
		for call, err := range map[string]error{"Lease": lease, "Load": load, "Workers": list, "Apply": apply} {
			if !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("%s of a closed pool: got %v, want ErrClosed", call, err)
			}
		}
	})
}
