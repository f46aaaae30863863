package memlog_test

import (
	"context"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func harness() conformance.Harness {
	return conformance.Harness{
		Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return memlog.New(&memlog.Options{Buffer: 64}), nil
		},
		Begin: func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
			tx, err := log.(*memlog.Log).Begin(ctx)
			return transaction{tx}, err
		},
		Writers: 3,
		Rewind: func(_ context.Context, _ conformance.Place, log cdc.Log, seq uint64) error {
			log.(*memlog.Log).Rewind(seq)
			return nil
		},
		Bubble: true,
	}
}

type transaction struct{ *memlog.Tx }

func (t transaction) Append(ctx context.Context, events ...cdc.Event) error {
	_, err := t.Tx.Append(ctx, events...)
	return err
}
func (t transaction) Commit(context.Context) error   { return t.Tx.Commit() }
func (t transaction) Rollback(context.Context) error { return t.Tx.Rollback() }

func TestConformance(t *testing.T) { conformance.Run(t, harness()) }

func TestConformanceOverHub(t *testing.T) {
	conformance.Run(t, conformance.OverHub(harness(), &cdc.HubOptions{TailEvents: 16}))
}

func FuzzLog(f *testing.F) { conformance.Fuzz(f, harness()) }
