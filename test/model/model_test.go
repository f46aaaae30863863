package model_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func harness() conformance.Harness {
	return conformance.Harness{
		Open: func(context.Context, conformance.Place) (cdc.Log, error) {
			return memlog.New(&memlog.Options{Buffer: 4}), nil // lags often
		},
		Begin: func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
			tx, err := log.(*memlog.Log).Begin(ctx)
			return transaction{tx}, err
		},
		Writers: 3,
		Bubble:  true,
	}
}

type transaction struct{ *memlog.Tx }

func (t transaction) Append(ctx context.Context, events ...cdc.Event) error {
	_, err := t.Tx.Append(ctx, events...)
	return err
}
func (t transaction) Commit(context.Context) error   { return t.Tx.Commit() }
func (t transaction) Rollback(context.Context) error { return t.Tx.Rollback() }

func TestScripts(t *testing.T) { scripts(t, harness()) }

func TestScriptsOverHub(t *testing.T) {
	scripts(t, conformance.OverHub(harness(), &cdc.HubOptions{TailEvents: 8}))
}

// TestSoakScripts draws scripts for as long as GAPLESS_SOAK says.
func TestSoakScripts(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("GAPLESS_SOAK"))
	if err != nil {
		t.Skip("GAPLESS_SOAK is no duration: make soak")
	}
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); {
		scripts(t, harness())
	}
}

// scripts lets rapid draw scripts and shrink one that fails.
func scripts(t *testing.T, h conformance.Harness) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.ByteRange(0, 63), 0, 50).Draw(rt, "script")
		var r conformance.Result
		synctest.Test(t, func(t *testing.T) {
			r = conformance.Script(t.Context(), h, script, &conformance.Options{Dir: dir, Seed: 1})
		})
		if len(r.Faults) > 0 {
			rt.Fatalf("%v", r)
		}
	})
}
