package boltlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// temporary is a path for an example, and what removes it.
func temporary() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "boltlog")
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "log.db"), func() { _ = os.RemoveAll(dir) }
}

func ExampleOpenFile() {
	path, remove := temporary()
	defer remove()
	ctx := context.Background()

	log, err := boltlog.OpenFile(ctx, path, "orders", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = log.Close() }()

	receipt, err := log.Append(ctx,
		cdc.Event{Type: "order.created", Key: "17", Data: []byte(`{"total":9}`)},
		cdc.Event{Type: "order.paid", Key: "17"})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := log.Read(ctx, cdc.Cursor{Epoch: receipt.Epoch}, 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range page.Events {
		fmt.Printf("%d %s %s %s\n", e.Seq, e.Type, e.Key, e.Data)
	}
	// Output:
	// 1 order.created 17 {"total":9}
	// 2 order.paid 17
}

// The event exists if and only if the change that it tells of was committed.
func ExampleLog_AppendTx() {
	path, remove := temporary()
	defer remove()
	ctx := context.Background()

	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	log, err := boltlog.Open(ctx, db, "changes", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = log.Close() }()

	order := func(key string, total int) error {
		return db.Update(func(tx *bbolt.Tx) error {
			orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
			if err != nil {
				return err
			}
			if err := orders.Put([]byte(key), fmt.Append(nil, total)); err != nil {
				return err
			}
			if _, err := log.AppendTx(tx, cdc.Event{Topic: "orders", Type: "order.created", Key: key}); err != nil {
				return err
			}
			if total < 0 {
				return errors.New("refused: negative total") // rolls both back
			}
			return nil
		})
	}
	fmt.Println(order("17", 9))
	fmt.Println(order("18", -1))
	bounds, err := log.Bounds(ctx)
	fmt.Println(bounds.Head, err)
	// Output:
	// <nil>
	// refused: negative total
	// 1 <nil>
}

// A client that comes back with a cursor from before the restore is told so.
func ExampleLog_Renew() {
	path, remove := temporary()
	defer remove()
	ctx := context.Background()

	log, err := boltlog.OpenFile(ctx, path, "orders", nil) // the copy from the backup
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = log.Close() }()
	before, err := log.Append(ctx, cdc.Event{Type: "a"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := log.Renew(ctx); err != nil {
		fmt.Println(err)
		return
	}
	_, err = log.Read(ctx, before.Cursor(), 100)
	if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
		fmt.Println(reset.Reason, reset.Head)
	}
	// Output: foreign 1
}
