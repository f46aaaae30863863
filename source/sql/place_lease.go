package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/backoff"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// storedLease is a lease as the look finds it; times are in microseconds.
type storedLease struct {
	holder               string
	generation, revision int64
	expires, now         int64 // 0: it was given up
}

func (l storedLease) lease() cdc.Lease {
	return cdc.Lease{
		Holder: l.holder, Generation: uint64(l.generation), Revision: uint64(l.revision),
		Remaining: time.Duration(max(0, l.expires-l.now)) * time.Microsecond,
	}
}

// Lease implements [cdc.Place]. If the lease is free, and a transaction still
// has the state locked, the error says whose.
func (p *Place[T]) Lease(ctx context.Context, worker, holder string, term time.Duration) (cdc.Lease, error) {
	l, err := placeCall(ctx, p, func(ctx context.Context) (storedLease, error) {
		return p.lease(ctx, worker, holder, term.Microseconds())
	})
	if err != nil {
		if _, locked := errors.AsType[*lockedError](err); !locked {
			err = p.explain(err)
		}
		return cdc.Lease{}, fmt.Errorf("sql: lease: %w", err)
	}
	return l.lease(), nil
}

func (p *Place[T]) lease(ctx context.Context, worker, holder string, term int64) (storedLease, error) {
	for try := 1; ; try++ {
		l, err := p.look(ctx, worker)
		none := errors.Is(err, sql.ErrNoRows)
		switch {
		case none && term <= 0:
			return storedLease{}, nil
		case none:
			if err := p.addWorker(ctx, worker); err != nil {
				return l, err
			}
			continue
		case err != nil:
			return l, err
		case l.holder == holder && l.expires > 0:
			return p.prolong(ctx, worker, holder, term)
		case term <= 0 || l.expires > l.now:
			return l, nil
		}
		err = p.takeOver(ctx, worker, holder, l.generation, term)
		if held := p.heldError(ctx, worker, l, err); held != nil {
			if try < 3 { // perhaps by one that takes it over at this moment
				err = backoff.Sleep(ctx, 20*time.Millisecond)
			} else {
				err = held
			}
		}
		if err != nil {
			return l, err
		}
	}
}

func (p *Place[T]) look(ctx context.Context, worker string) (l storedLease, err error) {
	err = p.db.QueryRowContext(ctx, p.sql.look, worker).Scan(&l.holder, &l.generation, &l.expires, &l.now, &l.revision)
	return l, err
}

// addWorker makes the rows of a worker. Revision 0 says that it has no state.
func (p *Place[T]) addWorker(ctx context.Context, worker string) error {
	if _, err := p.db.ExecContext(ctx, p.sql.newState, worker, false); err != nil {
		return err
	}
	_, err := p.db.ExecContext(ctx, p.sql.newLease, worker)
	return err
}

// prolong renews or gives up the lease, and returns whose it is then.
func (p *Place[T]) prolong(ctx context.Context, worker, holder string, term int64) (storedLease, error) {
	var err error
	if term > 0 {
		_, err = p.db.ExecContext(ctx, p.sql.renew, term, worker, holder)
	} else {
		_, err = p.db.ExecContext(ctx, p.sql.giveUp, worker, holder)
	}
	if err != nil {
		return storedLease{}, err
	}
	return p.look(ctx, worker)
}

// takeOver gives the holder a lease that is free in this generation. It is no
// error if another was faster.
func (p *Place[T]) takeOver(ctx context.Context, worker, holder string, generation, term int64) error {
	return p.dialect.Placer.Write(ctx, p.db, func(tx engine.Session) error {
		var revision int64
		if err := tx.QueryRowContext(ctx, p.sql.lockState, worker).Scan(&revision); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, p.sql.takeLease, holder, term, worker, generation)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, p.sql.raise, generation+1, worker)
		return err
	})
}

// heldError says who has the state locked, if that is what the error means.
func (p *Place[T]) heldError(ctx context.Context, worker string, l storedLease, err error) error {
	if err == nil {
		return nil
	}
	who := p.dialect.Placer.Holders(ctx, p.db, p.names, err)
	if who == "" {
		return nil
	}
	ends := "nothing but its client ends it (PlaceOptions.MaxIdle)"
	if p.opts.MaxIdle > 0 {
		ends = fmt.Sprintf("the server ends it after %v of silence", p.opts.MaxIdle)
	}
	return &lockedError{fmt.Errorf("the lease of worker %q, which %q had last, is free, but the state of the worker is locked by %s: %s: %w", worker, l.holder, who, ends, err)}
}

// lockedError says who has the state locked, and what comes of it.
type lockedError struct{ error }

func (e *lockedError) Unwrap() error { return e.error }
