package trial

import (
	"context"
	"fmt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// Transaction is an open transaction of the store.
type Transaction interface {
	Append(ctx context.Context, events ...cdc.Event) error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// Traced is an open transaction whose calls are in the trace.
type Traced struct {
	Name string // in the trace

	t  *Trial
	tx Transaction
}

// BeginTraced opens a transaction and ends the case if that fails.
func (t *Trial) BeginTraced(log cdc.Log) *Traced {
	x := &Traced{Name: fmt.Sprintf("tx%d", t.transactions.Add(1)), t: t}
	var err error
	x.tx, err = t.store.Begin(t.Ctx, log)
	if x.traced("Begin", err) != nil {
		t.StoreFailed("Begin", err)
	}
	return x
}

// Append implements [Transaction].
func (x *Traced) Append(ctx context.Context, events ...cdc.Event) error {
	return x.traced(fmt.Sprintf("Append %d", len(events)), x.tx.Append(ctx, events...))
}

// Commit implements [Transaction].
func (x *Traced) Commit(ctx context.Context) error { return x.traced("Commit", x.tx.Commit(ctx)) }

// Rollback implements [Transaction].
func (x *Traced) Rollback(ctx context.Context) error { return x.traced("Rollback", x.tx.Rollback(ctx)) }

func (x *Traced) traced(call string, err error) error {
	x.t.Trace("%s: %s %s", x.Name, call, ErrText(err))
	return err
}

// Tx is an open transaction and its record.
type Tx struct {
	Name string // in the trace

	t      *Trial
	log    cdc.Log
	tx     *Traced
	record verify.Append
}

// Begin opens a transaction and ends the case if that fails.
func (t *Trial) Begin(log cdc.Log) *Tx {
	tx := t.BeginTraced(log)
	return &Tx{t: t, log: log, tx: tx, Name: tx.Name, record: verify.Append{Begin: t.History.Tick()}}
}

// Append appends n events.
func (x *Tx) Append(n int) {
	events := x.t.Events(n)
	err := x.tx.Append(x.t.Ctx, events...)
	if err != nil {
		x.t.StoreFailed("Tx.Append", err)
	}
	for _, e := range events {
		x.record.Records = append(x.record.Records, verify.Record{ID: e.ID})
	}
}

// Commit commits what was appended.
func (x *Tx) Commit() { x.end("Commit", verify.Acknowledged, x.tx.Commit(x.t.Ctx)) }

// Rollback forgets what was appended.
func (x *Tx) Rollback() { x.end("Rollback", verify.Refused, x.tx.Rollback(x.t.Ctx)) }

func (x *Tx) end(what string, outcome verify.Outcome, err error) {
	if err != nil {
		x.t.StoreFailed("Tx."+what, err)
	}
	x.record.End = x.t.History.Tick()
	x.record.Outcome = outcome
	x.record.Epoch = x.t.Bounds(x.log).Epoch
	x.t.History.Append(x.record)
}

// Ended reports whether it was committed or rolled back.
func (x *Tx) Ended() bool { return x.record.End != 0 }

// IDs are those of the events that were appended.
func (x *Tx) IDs() []string {
	ids := make([]string, len(x.record.Records))
	for i, r := range x.record.Records {
		ids[i] = r.ID
	}
	return ids
}
