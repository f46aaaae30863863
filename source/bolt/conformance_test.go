package boltlog_test

import (
	"context"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

func harness() conformance.Harness {
	open := func(_ context.Context, at conformance.Place) (cdc.Log, error) {
		return boltlog.Open(filepath.Join(at.Dir, "log.db"), nil)
	}
	return conformance.Harness{Open: open, Reopen: open, Begin: begin, Crash: conformance.CrashSelf("TestConformance"), Bubble: true}
}

// begin opens a transaction of the application: bbolt has one writer.
func begin(_ context.Context, log cdc.Log) (conformance.Tx, error) {
	l := log.(*boltlog.Log)
	tx, err := l.DB().Begin(true)
	return transaction{tx, l}, err
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
