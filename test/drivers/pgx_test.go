package drivers_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// TestPgxTransaction appends in transactions of pgx itself, which roll back or
// commit, to a log that reads through database/sql.
func TestPgxTransaction(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(testserver.StartPostgres(t).DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, mode := range []sqllog.Mode{sqllog.Sequencer, sqllog.Fence, sqllog.AtCommit} {
		log, err := sqllog.Open(t.Context(), db, "log_"+string(mode), &sqllog.Options{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		want := cdc.Event{ID: "1", Topic: "t", Type: "committed", Key: "k", Data: []byte{0, 255}, Meta: map[string]string{"a": "b"}}
		for _, e := range []cdc.Event{{Type: "rolled back"}, want} {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := log.AppendTx(t.Context(), sqllog.Pgx(tx), e); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			if e.ID == "" {
				err = tx.Rollback(t.Context())
			} else {
				err = tx.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		}
		checkOnly(t, mode, log, want)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkOnly wants the log to hold this one event.
func checkOnly(t *testing.T, mode sqllog.Mode, log cdc.Source, want cdc.Event) {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch}, 10)
	if err != nil || len(page.Events) != 1 {
		t.Fatalf("%s: got %d events, %v, want the committed one", mode, len(page.Events), err)
	}
	got := page.Events[0]
	if got.ID != want.ID || got.Topic != want.Topic || got.Type != want.Type || got.Key != want.Key || string(got.Data) != string(want.Data) || got.Meta["a"] != "b" {
		t.Errorf("%s: got %+v, want %+v", mode, got, want)
	}
}
