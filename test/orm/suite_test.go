package orm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	sqllog "github.com/gapless-go/gapless/source/sql"
)

// suite tests a mapper in each mode, with a database for each test.
func suite(t *testing.T, open func(*testing.T) mapper, modes ...sqllog.Mode) {
	t.Helper()
	for _, mode := range modes {
		for name, test := range map[string]func(*testing.T, mapper, *sqllog.Log){
			"outcomes": outcomes, "writers": writers, "outside": outside, "worker": worker,
			"special": func(t *testing.T, m mapper, log *sqllog.Log) { m.special(t, log) },
		} {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				m := open(t)
				if err := m.migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				log, err := sqllog.Open(t.Context(), m.pool(), "change_log", &sqllog.Options{Mode: mode})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := log.Close(); err != nil {
						t.Error(err)
					}
				}()
				test(t, m, log)
			})
		}
	}
}

// hard is text that comes through if nobody writes it into a statement.
const hard = `a ? and a $1 and a \ and an '`

// change raises an order and appends its event.
func change(ctx context.Context, log *sqllog.Log, tx unit, id int64) error {
	version, err := tx.raise(ctx, id)
	if err != nil {
		return err
	}
	return log.AppendTx(ctx, tx.handle(), eventOf(id, version))
}

func eventOf(id, version int64) cdc.Event {
	return cdc.Event{
		ID: fmt.Sprintf("%d-%d", id, version), Topic: "orders", Type: "order's change", Key: strconv.FormatInt(id, 10),
		Data: dataOf(version), Meta: map[string]string{"why?": hard},
	}
}

// dataOf is the version, and bytes that are no text.
func dataOf(version int64) []byte {
	return append(strconv.AppendInt(nil, version, 10), 0, 0xff, '\'', '?')
}

// outcomes are transactions and savepoints that commit and roll back.
func outcomes(t *testing.T, m mapper, log *sqllog.Log) {
	rollsBack := func(fn func(tx unit) error) func(tx unit) error {
		return func(tx unit) error { return firstOf(fn(tx), errRollback) }
	}
	changes := func(ids ...int64) func(tx unit) error {
		return func(tx unit) error {
			for _, id := range ids {
				if err := change(t.Context(), log, tx, id); err != nil {
					return err
				}
			}
			return nil
		}
	}
	inside := func(fn, nested func(tx unit) error) func(tx unit) error {
		return func(tx unit) error {
			err := firstOf(fn(tx), tx.nested(t.Context(), nested))
			if errors.Is(err, errRollback) {
				err = nil
			}
			return firstOf(err, fn(tx))
		}
	}
	for i, step := range []struct {
		fn   func(tx unit) error
		fail bool
	}{
		{changes(1, 2), false},
		{rollsBack(changes(1, 3)), true},
		{inside(changes(1), changes(2, 4)), false},
		{inside(changes(1), rollsBack(changes(2, 5))), false},
		{rollsBack(inside(changes(1), changes(2, 6))), true},
		{inside(changes(1), inside(changes(2), rollsBack(changes(1, 7)))), false},
	} {
		err := m.transaction(t.Context(), step.fn)
		if step.fail != errors.Is(err, errRollback) || !step.fail && err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	agree(t, m, log, map[int64]int64{1: 7, 2: 4, 4: 1})
}

// writers change few orders at once, in transactions and savepoints of which some
// roll back.
func writers(t *testing.T, m mapper, log *sqllog.Log) {
	const each, together = 40, 6
	var wg sync.WaitGroup
	for range together {
		wg.Go(func() {
			for range each {
				low, high := 1+rand.Int64N(5), 6+rand.Int64N(5) // locked in this order
				outer, inner := rand.IntN(4) > 0, rand.IntN(3) > 0
				err := m.transaction(t.Context(), func(tx unit) error {
					if err := change(t.Context(), log, tx, low); err != nil {
						return err
					}
					err := tx.nested(t.Context(), func(tx unit) error {
						return firstOf(change(t.Context(), log, tx, high), rollbackUnless(inner))
					})
					if err != nil && !errors.Is(err, errRollback) {
						return err
					}
					return rollbackUnless(outer)
				})
				if err != nil && !errors.Is(err, errRollback) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want, err := m.versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	agree(t, m, log, want)
}

// outside appends where there is no transaction, which must not pass for one.
func outside(t *testing.T, m mapper, log *sqllog.Log) {
	err := log.AppendTx(t.Context(), m.outside(), cdc.Event{Key: "1"})
	if err == nil || !strings.Contains(err.Error(), "no transaction") {
		t.Errorf("AppendTx of a pool: %v, want it refused", err)
	}
	agree(t, m, log, map[int64]int64{})
}

// worker keeps a row for each event with the mapper, exactly once, though some
// handlers fail.
func worker(t *testing.T, m mapper, log *sqllog.Log) {
	const events = 20
	for i := range events {
		if _, err := log.Append(t.Context(), cdc.Event{Key: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	failed := map[uint64]bool{}
	ended := errors.New("all events are handled")
	last := headOf(t, log)
	err := m.ship(t.Context(), log, func(seq uint64) error {
		switch {
		case !failed[seq]:
			failed[seq] = true
			return errors.New("the first try fails")
		case seq == last:
			return &cdc.Failure{Class: cdc.Stop, Err: ended}
		}
		return nil
	})
	if !errors.Is(err, ended) {
		t.Fatal(err)
	}
	got, err := m.shipments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	for _, e := range read(t, log) {
		if e.Seq < last {
			want = append(want, int64(e.Seq))
		}
	}
	if !slices.Equal(got, want) || len(want) != events-1 {
		t.Errorf("shipments of the events %v, want %v", got, want)
	}
}

// agree wants the rows to be as given, and the log to have the versions of each
// row from 1 to that, in their order.
func agree(t *testing.T, m mapper, log *sqllog.Log, want map[int64]int64) {
	t.Helper()
	rows, err := m.versions(t.Context())
	if err != nil || !maps.Equal(rows, want) {
		t.Errorf("rows %v, %v, want %v", rows, err, want)
	}
	logged := map[int64]int64{}
	for _, e := range read(t, log) {
		id, err := strconv.ParseInt(e.Key, 10, 64)
		logged[id]++
		if err != nil || !bytes.Equal(e.Data, dataOf(logged[id])) || e.Meta["why?"] != hard || e.Type != "order's change" {
			t.Errorf("event %d of order %s is %+v", logged[id], e.Key, e)
		}
	}
	if !maps.Equal(logged, want) {
		t.Errorf("events %v, want %v", logged, want)
	}
}

func read(t *testing.T, log cdc.Log) []cdc.Event {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []cdc.Event
	for at := (cdc.Cursor{Epoch: b.Epoch}); at.Seq < b.Head; {
		page, err := log.Read(t.Context(), at, 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		at.Seq = page.Next
	}
	return all
}

func headOf(t *testing.T, log cdc.Log) uint64 {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b.Head
}

// shipping are the options of the worker.
func shipping() *cdc.ConsumeOptions {
	return &cdc.ConsumeOptions{Start: cdc.Beginning(), MaxPause: time.Millisecond, BatchSize: 3}
}

func rollbackUnless(commit bool) error {
	if commit {
		return nil
	}
	return errRollback
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func versionsOf(orders []order) map[int64]int64 {
	versions := map[int64]int64{}
	for _, o := range orders {
		if o.Version > 0 {
			versions[o.ID] = o.Version
		}
	}
	return versions
}
