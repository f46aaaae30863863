package conformance_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance"
	memlog "github.com/gapless-go/gapless/source/mem"
)

// nasty is a log that does everything that is legal and inconvenient.
type nasty struct {
	*memlog.Log
	most     int           // events on a page; 0 means no limit
	slow     time.Duration // before each call
	wakes    int           // needless wake-ups before each Next that says something
	noEvents bool          // subscriptions only wake
	unsure   bool          // a large event that is appended is not acknowledged
	holes    int           // seqs that are drawn and given back before each append
}

func (l *nasty) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	time.Sleep(l.slow)
	if l.most > 0 {
		limit = min(limit, l.most)
	}
	return l.Log.Read(ctx, after, limit)
}

func (l *nasty) ReadFiltered(ctx context.Context, after cdc.Cursor, limit int, f cdc.Filter) (cdc.Page, error) {
	page, err := l.Read(ctx, after, limit)
	page.Events = f.Select(page.Events)
	return page, err
}

func (l *nasty) Bounds(ctx context.Context) (cdc.Bounds, error) {
	time.Sleep(l.slow)
	return l.Log.Bounds(ctx)
}

func (l *nasty) Append(ctx context.Context, events ...cdc.Event) (cdc.Receipt, error) {
	time.Sleep(l.slow)
	if l.holes > 0 && len(events) > 0 {
		tx, err := l.Begin(ctx)
		if err == nil {
			_, err = tx.Append(ctx, make([]cdc.Event, l.holes)...)
		}
		if err == nil {
			err = tx.Rollback()
		}
		if err != nil {
			return cdc.Receipt{}, err
		}
	}
	r, err := l.Log.Append(ctx, events...)
	if err == nil && l.unsure && !r.Duplicate && len(events) == 1 && len(events[0].Key) > 4096 {
		return cdc.Receipt{}, cdc.ErrUnknownOutcome
	}
	return r, err
}

func (l *nasty) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	time.Sleep(l.slow)
	sub, err := l.Log.Subscribe(ctx)
	if err != nil {
		return nil, err
	}
	return &nastySubscription{Subscription: sub, log: l, wakes: l.wakes}, nil
}

type nastySubscription struct {
	cdc.Subscription
	log    *nasty
	wakes  int
	closed atomic.Bool
}

func (s *nastySubscription) Next(ctx context.Context) ([]cdc.Event, error) {
	if s.wakes > 0 && ctx.Err() == nil && !s.closed.Load() {
		s.wakes--
		if _, err := s.log.Log.Bounds(ctx); err == nil { // not when it is closed
			return nil, nil
		}
	}
	events, err := s.Subscription.Next(ctx)
	if err == nil {
		s.wakes = s.log.wakes
	}
	if s.log.noEvents {
		events = nil
	}
	return events, err
}

func (s *nastySubscription) Close() error {
	s.closed.Store(true)
	return s.Subscription.Close()
}

func TestNastyLogsPass(t *testing.T) {
	for name, l := range map[string]nasty{
		"short pages":         {most: 1},
		"needless wake-ups":   {wakes: 3},
		"no events":           {noEvents: true},
		"holes":               {holes: 3},
		"not acknowledged":    {unsure: true},
		"slow":                {slow: 300 * time.Microsecond},
		"everything together": {most: 2, slow: 100 * time.Microsecond, wakes: 2, noEvents: true, holes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Open: func(context.Context, conformance.Place) (cdc.Log, error) {
					log := l
					log.Log = memlog.New(nil)
					return &log, nil
				},
				Begin: func(ctx context.Context, log cdc.Log) (conformance.Tx, error) {
					tx, err := log.(*nasty).Begin(ctx)
					return memTx{tx}, err
				},
				Writers: 3,
				Bubble:  true,
			})
		})
	}
}

type memTx struct{ *memlog.Tx }

func (t memTx) Append(ctx context.Context, events ...cdc.Event) error {
	_, err := t.Tx.Append(ctx, events...)
	return err
}
func (t memTx) Commit(context.Context) error   { return t.Tx.Commit() }
func (t memTx) Rollback(context.Context) error { return t.Tx.Rollback() }
