package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// placeCall runs f, unless the store is closed, again if its connection turns
// out to be cut, and gives it up soon after ctx has ended.
func placeCall[V any, T PlaceTx](ctx context.Context, p *Place[T], f func(ctx context.Context) (V, error)) (V, error) {
	if p.closed() {
		var zero V
		return zero, cdc.ErrClosed
	}
	return engine.Await(ctx, p.dialect, nil, func(ctx context.Context) (V, error) { return engine.RetryCut(ctx, f) })
}

// explain adds what to do to an error of the database. What a handler returns is
// its own.
func (p *Place[T]) explain(err error) error {
	if _, ofHandler := errors.AsType[*handlerError](err); ofHandler {
		return err
	}
	return explain(p.names.Settings(p.dialect), err)
}

// handlerError is what a handler has returned.
type handlerError struct{ error }

func (e *handlerError) Unwrap() error { return e.error }

// Load implements [cdc.Place].
func (p *Place[T]) Load(ctx context.Context, worker string) (cdc.WorkerState, error) {
	state, err := placeCall(ctx, p, func(ctx context.Context) (cdc.WorkerState, error) {
		rows, err := p.db.QueryContext(ctx, p.sql.load, worker)
		if err != nil {
			return cdc.WorkerState{}, err
		}
		return readState(rows)
	})
	if err != nil {
		return cdc.WorkerState{}, fmt.Errorf("sql: load worker %q: %w", worker, p.explain(err))
	}
	return state, nil
}

// Workers implements [cdc.Place].
func (p *Place[T]) Workers(ctx context.Context) ([]cdc.Worker, error) {
	list, err := placeCall(ctx, p, func(ctx context.Context) ([]cdc.Worker, error) {
		rows, err := p.db.QueryContext(ctx, p.sql.workers)
		if err != nil {
			return nil, err
		}
		return readWorkers(rows)
	})
	if err != nil {
		return nil, fmt.Errorf("sql: list workers: %w", p.explain(err))
	}
	return list, nil
}

// Apply implements [cdc.Place]. If the answer to the commit is lost, the error
// is [cdc.ErrUnknownOutcome].
func (p *Place[T]) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	err := p.apply(ctx, worker, revision, fn)
	if err != nil {
		return fmt.Errorf("sql: apply for worker %q: %w", worker, p.explain(err))
	}
	return nil
}

func (p *Place[T]) apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx T) (cdc.Change, error)) error {
	if insideHandler(ctx) {
		return errInHandler
	}
	if revision == 0 {
		if _, err := placeCall(ctx, p, func(ctx context.Context) (none, error) {
			_, err := p.db.ExecContext(ctx, p.sql.newState, worker, false)
			return none{}, err
		}); err != nil {
			return err
		}
	}
	t, err := p.enter(ctx, worker, revision)
	if err != nil {
		return err
	}
	defer t.rollback(ctx)
	change, err := fn(context.WithValue(ctx, handlerKey{}, true), t.tx)
	if err != nil {
		return &handlerError{err}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = t.call(ctx, func(ctx context.Context) error { return t.advance(ctx, change) })
	committing := err == nil
	if committing {
		err = t.call(ctx, t.commit)
	}
	switch {
	case err == nil || errors.Is(err, cdc.ErrFenced):
		return err
	case errors.Is(err, sql.ErrTxDone):
		return &cdc.Failure{Class: cdc.Stop, Err: errEnded}
	case committing && p.dialect.Placer.Refused != nil && p.dialect.Placer.Refused(err):
		return &cdc.Failure{Class: cdc.Again, Err: err}
	case committing && !engine.IsAnswer(err):
		return fmt.Errorf("%w: commit: %w", cdc.ErrUnknownOutcome, err)
	}
	t.rollback(ctx)
	return p.refenced(ctx, worker, revision, err)
}

// errEnded says that the cursor cannot move with what the handler has written.
var errEnded = errors.New("the handler has ended its transaction: Commit and Rollback are the place's")

// refenced is ErrFenced if the database refused the transaction because the
// state was changed by another, as it does at higher levels of isolation.
func (p *Place[T]) refenced(ctx context.Context, worker string, revision uint64, err error) error {
	now, readErr := placeCall(ctx, p, func(ctx context.Context) (uint64, error) {
		return engine.ReadRevision(ctx, p.db, p.sql.revision, []any{worker})
	})
	if readErr == nil && now != revision {
		return fmt.Errorf("%w: %w", cdc.ErrFenced, err)
	}
	return err
}

// rollbackTime is how long a rollback may take.
const rollbackTime = 2 * time.Second

// placeTx is the transaction of one Apply.
type placeTx[T PlaceTx] struct {
	place    *Place[T]
	tx       T       // the handler's
	own      PlaceTx // the same, for our statements
	worker   string
	revision uint64
	restore  string // a statement, or empty
	cancel   context.CancelFunc
	ended    atomic.Bool
}

// enter begins the transaction. Its own context does not end with ctx: the
// driver would then give a connection back to the pool with our settings.
func (p *Place[T]) enter(ctx context.Context, worker string, revision uint64) (*placeTx[T], error) {
	return placeCall(ctx, p, func(ctx context.Context) (*placeTx[T], error) { return p.tryEnter(ctx, worker, revision) })
}

func (p *Place[T]) tryEnter(ctx context.Context, worker string, revision uint64) (*placeTx[T], error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	t := &placeTx[T]{place: p, worker: worker, revision: revision, cancel: cancel}
	begin := func() (err error) {
		t.tx, err = p.begin(own, &sql.TxOptions{Isolation: p.opts.Isolation})
		if t.own = t.tx; err == nil {
			if tx := embeddedTx(t.tx); tx != nil {
				t.own = tx
			}
		}
		return err
	}
	var err error
	if p.dialect.Placer.Begin != nil {
		err = p.dialect.Placer.Begin(ctx, begin)
	} else {
		err = begin()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	if !stop() { // ctx has ended, and with it the transaction
		t.rollback(ctx)
		return nil, context.Cause(ctx)
	}
	entry := engine.PlaceEntry{Worker: worker, Revision: revision, Idle: max(0, p.opts.MaxIdle)}
	now, restore, err := p.dialect.Placer.Enter(ctx, t.own, p.names, entry)
	t.restore = restore
	if err == nil && now != revision {
		err = cdc.ErrFenced
	}
	if err == nil && ctx.Err() != nil { // nobody waits for it any more, perhaps
		err = context.Cause(ctx)
	}
	if err != nil {
		t.rollback(ctx)
		return nil, err
	}
	return t, nil
}

// call gives f up soon after ctx has ended.
func (t *placeTx[T]) call(ctx context.Context, f func(ctx context.Context) error) error {
	_, err := engine.Await(ctx, t.place.dialect, nil, func(ctx context.Context) (none, error) { return none{}, f(ctx) })
	return err
}

// advance writes the change; its last statement is the one with the condition.
func (t *placeTx[T]) advance(ctx context.Context, change cdc.Change) error {
	q := t.place.sql
	if err := q.writeParked(ctx, t.own, t.worker, change); err != nil {
		return err
	}
	res, err := t.own.ExecContext(ctx, q.advance, cursorText(change.Cursor), change.Paused, t.worker, int64(t.revision))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, cdc.ErrFenced)
	}
	return nil
}

// commit is seen through when it has begun, so that its outcome is known.
func (t *placeTx[T]) commit(ctx context.Context) error {
	leave := t.place.dialect.Placer.Leave
	if leave != nil {
		if err := leave(context.WithoutCancel(ctx), t.own, "COMMIT", t.restore); err != nil {
			return err
		}
	}
	if !t.ended.CompareAndSwap(false, true) {
		return sql.ErrTxDone
	}
	defer t.cancel()
	err := t.tx.Commit()
	if leave != nil {
		return nil // there was no transaction any more: it has only freed the connection
	}
	return err
}

// rollback does nothing after a commit. If it fails, the server does it when the
// connection ends.
func (t *placeTx[T]) rollback(ctx context.Context) {
	if !t.ended.CompareAndSwap(false, true) {
		return
	}
	defer t.cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_ = t.call(ctx, func(ctx context.Context) error {
		if leave := t.place.dialect.Placer.Leave; leave != nil {
			_ = leave(ctx, t.own, "ROLLBACK", t.restore)
		}
		return t.tx.Rollback()
	})
}
