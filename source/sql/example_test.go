package sqllog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Example writes an event in the transaction of the change that it describes.
func Example() {
	dir, err := os.MkdirTemp("", "sqllog-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db := sqlx.MustOpen("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	defer db.Close()
	db.MustExec("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")

	ctx := context.Background()
	log, err := sqllog.Open(ctx, db, "change_log", nil)
	if err != nil {
		panic(err)
	}
	defer log.Close()

	tx := db.MustBegin()
	tx.MustExec("INSERT INTO orders VALUES (17, 'lamp')")
	if err := log.AppendTx(ctx, tx, cdc.Event{Topic: "orders", Type: "order.placed", Key: "17", Data: []byte(`{"item":"lamp"}`)}); err != nil {
		panic(err)
	}
	if err := tx.Commit(); err != nil {
		panic(err)
	}
	for batch, err := range cdc.Follow(ctx, log, cdc.Beginning(), nil) {
		if err != nil {
			panic(err)
		}
		for _, e := range batch.Events {
			fmt.Println(e.Seq, e.Type, e.Key, string(e.Data))
			return
		}
	}
	// Output: 1 order.placed 17 {"item":"lamp"}
}

// ExampleLog_Capture lets triggers log what any program does to a table.
func ExampleLog_Capture() {
	dir, err := os.MkdirTemp("", "sqllog-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db := sqlx.MustOpen("sqlite", "file:"+filepath.Join(dir, "shop.db"))
	defer db.Close()
	db.MustExec("CREATE TABLE stock (item TEXT NOT NULL PRIMARY KEY, pieces INTEGER)")

	ctx := context.Background()
	log, err := sqllog.Open(ctx, db, "change_log", nil)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	if err := log.Capture(ctx, sqllog.Table{Name: "stock"}); err != nil {
		panic(err)
	}
	db.MustExec("INSERT INTO stock VALUES ('lamp', 5)")
	db.MustExec("UPDATE stock SET pieces = 4")

	bounds, err := log.Bounds(ctx)
	if err != nil {
		panic(err)
	}
	page, err := log.Read(ctx, cdc.Cursor{Epoch: bounds.Epoch}, 10)
	if err != nil {
		panic(err)
	}
	for _, e := range page.Events {
		fmt.Println(e.Type, e.Key, string(e.Data))
	}
	// Output:
	// stock.insert lamp {"old":null,"new":{"item":"lamp","pieces":5}}
	// stock.update lamp {"old":{"item":"lamp","pieces":5},"new":{"item":"lamp","pieces":4}}
}
