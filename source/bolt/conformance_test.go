package boltlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

func harness() conformance.Harness {
	open := func(ctx context.Context, at conformance.Place) (cdc.Log, error) {
		return boltlog.OpenFile(ctx, filepath.Join(at.Dir, "log.db"), logName, nil)
	}
	return conformance.Harness{Open: open, Reopen: open, Begin: begin, Rewind: rewind, BreakEvent: breakEvent, Lock: lock, Crash: conformance.CrashSelf("TestConformance"), Bubble: true}
}

// rewind puts back what the log's bucket held at seq, under the open Log: the
// file is the application's.
func rewind(_ context.Context, _ conformance.Place, log cdc.Log, seq uint64) error {
	l := log.(*boltlog.Log)
	head := binary.BigEndian.AppendUint64(nil, seq)
	return l.DB().Update(func(tx *bbolt.Tx) error {
		root := tx.Bucket([]byte(logName))
		return errors.Join(
			remove(root.Bucket([]byte("events")), func(key, _ []byte) bool { return bytes.Compare(key, head) > 0 }),
			remove(root.Bucket([]byte("ids")), func(_, value []byte) bool { return bytes.Compare(value, head) > 0 }),
			root.Put([]byte("head"), head),
		)
	})
}

func remove(b *bbolt.Bucket, which func(key, value []byte) bool) error {
	var keys [][]byte
	err := b.ForEach(func(key, value []byte) error {
		if which(key, value) {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, b.Delete(key))
	}
	return err
}

// begin opens a transaction of the application: bbolt has one writer.
func begin(_ context.Context, log cdc.Log) (conformance.Tx, error) {
	l := log.(*boltlog.Log)
	tx, err := l.DB().Begin(true)
	return transaction{tx, l}, err
}

// breakEvent puts something that is no record where the event was.
func breakEvent(_ context.Context, _ conformance.Place, log cdc.Log, seq uint64) (func(), error) {
	l, key := log.(*boltlog.Log), binary.BigEndian.AppendUint64(nil, seq)
	var record []byte
	put := func(value []byte) error {
		return l.DB().Update(func(tx *bbolt.Tx) error {
			events := tx.Bucket([]byte(logName)).Bucket([]byte("events"))
			record = bytes.Clone(events.Get(key))
			return events.Put(key, value)
		})
	}
	err := put([]byte("no record"))
	return func() { _ = put(record) }, err
}

// lock holds the file's only write transaction, as the application may.
func lock(_ context.Context, _ conformance.Place, log cdc.Log) (func(), error) {
	tx, err := log.(*boltlog.Log).DB().Begin(true)
	return func() { _ = tx.Rollback() }, err
}

type transaction struct {
	tx  *bbolt.Tx
	log *boltlog.Log
}

func (t transaction) Append(_ context.Context, events ...cdc.Event) error {
	_, err := t.log.AppendTx(t.tx, events...)
	return err
}
func (t transaction) Commit(context.Context) error   { return t.tx.Commit() }
func (t transaction) Rollback(context.Context) error { return t.tx.Rollback() }

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }

func TestConformanceOverHub(t *testing.T) {
	conformance.Run(t, conformance.OverHub(harness(), &cdc.HubOptions{TailEvents: 16}))
}

func FuzzLog(f *testing.F) { conformance.Fuzz(f, harness()) }
