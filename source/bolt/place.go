package boltlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

// Place keeps workers in a bucket of the DB; their handlers write to the same
// DB with a [*bbolt.Tx]. Instances of a worker are in one process, because the
// file is: when that dies the lease dies with its term. All methods may be
// called concurrently. Use [Store.Place].
//
// Each worker has a bucket of its own in it:
//
//	lease    JSON: Holder, Generation, Expires
//	state    JSON: Revision, Generation, Cursor, Paused
//	parked/  seq, 8 bytes big-endian → JSON of a cdc.Parked
type Place struct {
	store *Store
	name  []byte
}

var _ cdc.Place[*bbolt.Tx] = (*Place)(nil)

var (
	keyLease     = []byte("lease")
	keyState     = []byte("state")
	bucketParked = []byte("parked")
)

// placeFormat is at keyFormat of the bucket, as it is in that of a log.
const placeFormat = "gapless place 1"

type storedLease struct {
	Holder     string
	Generation uint64
	Expires    time.Time // of this machine's clock; zero: it was given up
}

type storedState struct {
	Revision   uint64
	Generation uint64
	Cursor     *cdc.Cursor `json:",omitempty"` // nil: the worker never began
	Paused     bool
}

// Place returns the place in the bucket of that name, which is made if it is
// missing when a worker is stored. It must not be the name of a log.
func (s *Store) Place(name string) (*Place, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("bolt: place: %w", err)
	}
	return &Place{store: s, name: []byte(name)}, nil
}

// handlerKey marks the context of a handler with the DB that its transaction
// is of.
type handlerKey struct{ db *bbolt.DB }

// errInHandler refuses what would wait for the end of the handler's own
// transaction.
var errInHandler = errors.New("this is called in a handler, whose transaction is the only writer of the file, so it would wait for itself: append with AppendTx and the handler's transaction")

// insideHandler reports whether ctx is that of a handler with a transaction of
// the DB.
func (s *Store) insideHandler(ctx context.Context) bool {
	return ctx.Value(handlerKey{s.db}) != nil
}

// Lease implements [cdc.Place]. It waits for a transaction that writes to the
// file, as every commit does.
func (p *Place) Lease(ctx context.Context, worker, holder string, term time.Duration) (lease cdc.Lease, err error) {
	err = p.update(ctx, worker, func(_ context.Context, _ *bbolt.Tx, w *bbolt.Bucket) error {
		var changed bool
		if lease, changed, err = takeLease(w, holder, term); err == nil && !changed {
			return errNothingToWrite
		}
		return err
	})
	if err != nil {
		return cdc.Lease{}, fmt.Errorf("bolt: lease: %w", err)
	}
	return lease, nil
}

// errNothingToWrite rolls a transaction back that has changed nothing.
var errNothingToWrite = errors.New("nothing to write")

func takeLease(w *bbolt.Bucket, holder string, term time.Duration) (lease cdc.Lease, changed bool, err error) {
	var l storedLease
	var state storedState
	if err := errors.Join(readJSON(w, keyLease, &l), readJSON(w, keyState, &state)); err != nil {
		return lease, false, err
	}
	now := time.Now()
	changed = true
	switch {
	case l.Holder == holder && term <= 0:
		l.Expires = time.Time{}
	case l.Holder == holder && !l.Expires.IsZero():
		l.Expires = now.Add(term)
	case term > 0 && !l.Expires.After(now):
		l = storedLease{Holder: holder, Generation: l.Generation + 1, Expires: now.Add(term)}
		state.Revision++
		state.Generation = l.Generation
		err = writeJSON(w, keyState, state)
	default:
		changed = false
	}
	if changed && err == nil {
		err = writeJSON(w, keyLease, l)
	}
	return l.at(now, state.Revision), changed, err
}

func (l storedLease) at(now time.Time, revision uint64) cdc.Lease {
	return cdc.Lease{Holder: l.Holder, Generation: l.Generation, Revision: revision, Remaining: max(0, l.Expires.Sub(now))}
}

// Load implements [cdc.Place].
func (p *Place) Load(ctx context.Context, worker string) (cdc.WorkerState, error) {
	state, err := viewPlace(ctx, p, func(root *bbolt.Bucket) (state cdc.WorkerState, err error) {
		w := root.Bucket([]byte(worker))
		if w == nil {
			return state, nil
		}
		if state, err = readState(w); err != nil {
			return state, err
		}
		err = w.Bucket(bucketParked).ForEach(func(_, value []byte) error {
			var parked cdc.Parked
			err := json.Unmarshal(value, &parked)
			state.Parked = append(state.Parked, parked)
			return err
		})
		return state, err
	})
	if err != nil {
		return cdc.WorkerState{}, fmt.Errorf("bolt: load worker %q: %w", worker, err)
	}
	return state, nil
}

func readState(w *bbolt.Bucket) (cdc.WorkerState, error) {
	var stored storedState
	if err := readJSON(w, keyState, &stored); err != nil {
		return cdc.WorkerState{}, err
	}
	state := cdc.WorkerState{Revision: stored.Revision, Generation: stored.Generation, Paused: stored.Paused}
	if stored.Cursor != nil {
		state.Cursor = *stored.Cursor
	}
	return state, nil
}

// Apply implements [cdc.Place]. The transaction is the only writer of the file:
// fn must not wait for another.
func (p *Place) Apply(ctx context.Context, worker string, revision uint64, fn func(ctx context.Context, tx *bbolt.Tx) (cdc.Change, error)) error {
	err := p.update(ctx, worker, func(ctx context.Context, tx *bbolt.Tx, w *bbolt.Bucket) error {
		state, err := readState(w)
		if err != nil {
			return err
		}
		if state.Revision != revision {
			return cdc.ErrFenced
		}
		change, err := fn(ctx, tx)
		if err != nil {
			return err
		}
		// fn may have written to other buckets, which moves this one.
		return writeChange(tx.Bucket(p.name).Bucket([]byte(worker)), state, change)
	})
	if err != nil {
		return fmt.Errorf("bolt: apply for worker %q: %w", worker, err)
	}
	return nil
}

func writeChange(w *bbolt.Bucket, state cdc.WorkerState, change cdc.Change) error {
	parked := w.Bucket(bucketParked)
	for _, seq := range change.Unpark {
		if err := parked.Delete(seqKey(seq)); err != nil {
			return err
		}
	}
	for _, entry := range change.Park {
		if err := writeJSON(parked, seqKey(entry.Event.Seq), entry); err != nil {
			return err
		}
	}
	stored := storedState{Revision: state.Revision + 1, Generation: state.Generation, Paused: change.Paused}
	if change.Cursor != (cdc.Cursor{}) {
		stored.Cursor = &change.Cursor
	}
	return writeJSON(w, keyState, stored)
}

// Workers implements [cdc.Place].
func (p *Place) Workers(ctx context.Context) ([]cdc.Worker, error) {
	now := time.Now()
	list, err := viewPlace(ctx, p, func(root *bbolt.Bucket) (list []cdc.Worker, err error) {
		err = root.ForEachBucket(func(name []byte) error {
			w := root.Bucket(name)
			var lease storedLease
			state, err := readState(w)
			if err := errors.Join(err, readJSON(w, keyLease, &lease)); err != nil {
				return fmt.Errorf("worker %q: %w", name, err)
			}
			list = append(list, cdc.Worker{
				Name: string(name), Cursor: state.Cursor, Paused: state.Paused,
				Parked: w.Bucket(bucketParked).Stats().KeyN, Lease: lease.at(now, state.Revision),
			})
			return nil
		})
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: list workers: %w", err)
	}
	return list, nil
}

// viewPlace returns what fn reads in a read transaction; nothing if there is no
// place yet. fn may outlive the call, if ctx ends: it must share nothing.
func viewPlace[T any](ctx context.Context, p *Place, fn func(root *bbolt.Bucket) (T, error)) (T, error) {
	var zero T
	if p.store.isClosed() {
		return zero, cdc.ErrClosed
	}
	return await(ctx, nil, func() (value T, err error) {
		err = p.store.db.View(func(tx *bbolt.Tx) error {
			root := tx.Bucket(p.name)
			if root == nil {
				return nil
			}
			if err := checkPlace(p.name, root); err != nil {
				return err
			}
			value, err = fn(root)
			return err
		})
		return value, err
	})
}

// update runs fn in a write transaction with the bucket of the worker.
func (p *Place) update(ctx context.Context, worker string, fn func(ctx context.Context, tx *bbolt.Tx, w *bbolt.Bucket) error) error {
	tx, err := p.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it says only that
	w, err := p.worker(tx, worker)
	if err != nil {
		return err
	}
	switch err := fn(context.WithValue(ctx, handlerKey{p.store.db}, true), tx, w); {
	case errors.Is(err, errNothingToWrite):
		return nil
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err := tx.Commit(); err != nil {
		return explainCommit(err)
	}
	return nil
}

// begin begins a write transaction, and gives up waiting for it when ctx ends.
func (p *Place) begin(ctx context.Context) (*bbolt.Tx, error) {
	if p.store.isClosed() {
		return nil, cdc.ErrClosed
	}
	if p.store.insideHandler(ctx) {
		return nil, errInHandler
	}
	type result struct {
		tx  *bbolt.Tx
		err error
	}
	begun := make(chan result) // without room: a transaction has one owner
	go func() {                // ends with the transaction that is waited for
		tx, err := p.store.db.Begin(true)
		select {
		case begun <- result{tx, err}:
		case <-ctx.Done():
			if err == nil {
				_ = tx.Rollback() // it has done nothing
			}
		}
	}()
	select {
	case r := <-begun:
		if r.err != nil {
			return nil, p.store.explainBegin(r.err)
		}
		return r.tx, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// worker returns the worker's bucket, which is made if it is missing.
func (p *Place) worker(tx *bbolt.Tx, name string) (*bbolt.Bucket, error) {
	root := tx.Bucket(p.name)
	if root == nil {
		var err error
		if root, err = tx.CreateBucket(p.name); err != nil {
			return nil, err
		}
		if err := root.Put(keyFormat, []byte(placeFormat)); err != nil {
			return nil, err
		}
	}
	if err := checkPlace(p.name, root); err != nil {
		return nil, err
	}
	w, err := root.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return nil, err
	}
	_, err = w.CreateBucketIfNotExists(bucketParked)
	return w, err
}

func checkPlace(name []byte, root *bbolt.Bucket) error {
	if format := string(root.Get(keyFormat)); format != placeFormat {
		return fmt.Errorf("bucket %q holds something that is no place of workers (format %.40q, want %q): give the place another name", name, format, placeFormat)
	}
	return nil
}

// readJSON reads the value into v, and leaves it if there is none.
func readJSON(b *bbolt.Bucket, key []byte, v any) error {
	value := b.Get(key)
	if value == nil {
		return nil
	}
	return json.Unmarshal(value, v)
}

func writeJSON(b *bbolt.Bucket, key []byte, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, value)
}
