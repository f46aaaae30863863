package boltlog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/conformance/placetest"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

func TestPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		open := func() (placetest.Store[*bbolt.Tx], error) {
			path := filepath.Join(dir, cdc.NewEpoch())
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
			if err != nil {
				return placetest.Store[*bbolt.Tx]{}, err
			}
			t.Cleanup(func() { _ = db.Close() })
			return storeIn(t, db)
		}
		for _, r := range placetest.Check(t.Context(), open) {
			if r.Err != nil {
				t.Errorf("%s: %s\n%v", r.Case.Name, r.Case.Sentence, r.Err)
			}
		}
	})
}

var listBucket = []byte("list")

// storeIn has the log, the place and a list in one DB, each handle with a Store
// of its own.
func storeIn(t *testing.T, db *bbolt.DB) (s placetest.Store[*bbolt.Tx], err error) {
	s.OneWriter = true
	for _, place := range []*cdc.Place[*bbolt.Tx]{&s.Place, &s.Second} {
		store, err := boltlog.NewStore(db)
		if err != nil {
			return s, err
		}
		t.Cleanup(func() { _ = store.Close() })
		if *place, err = store.Place("workers"); err != nil {
			return s, err
		}
		if s.Log, err = store.Open(t.Context(), logName, nil); err != nil {
			return s, err
		}
	}
	s.Write = func(_ context.Context, tx *bbolt.Tx, text string) error {
		b, err := tx.CreateBucketIfNotExists(listBucket)
		if err != nil {
			return err
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, n), []byte(text))
	}
	s.Written = func(context.Context) (list []string, err error) {
		err = db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(listBucket)
			if b == nil {
				return nil
			}
			return b.ForEach(func(_, v []byte) error {
				list = append(list, string(v))
				return nil
			})
		})
		return list, err
	}
	return s, nil
}

// A handler that appends without its transaction would wait for itself.
func TestAppendInHandlerIsRefused(t *testing.T) {
	db := newDB(t)
	store, err := boltlog.NewStore(db)
	if err != nil {
		t.Fatal(err)
	}
	l, err := store.Open(t.Context(), logName, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	place, err := store.Place("workers")
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "in")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var appendErr, trimErr, applyErr error
	err = cdc.Consume(ctx, l, "w", place, cdc.Handler[*bbolt.Tx]{Apply: func(ctx context.Context, tx *bbolt.Tx, d *cdc.Delivery) error {
		if string(d.Event.Data) == "out" {
			return &cdc.Failure{Class: cdc.Stop, Err: errStop}
		}
		_, appendErr = l.Append(ctx, ev("alone"))
		_, trimErr = l.Trim(ctx, 1)
		applyErr = cdc.SetPaused(ctx, place, "other", true)
		_, err := l.AppendTx(tx, ev("out"))
		return err
	}}, &cdc.ConsumeOptions{Start: cdc.Beginning()})
	if !errors.Is(err, errStop) {
		t.Errorf("Consume: got %v, want the error of class Stop", err)
	}
	for what, err := range map[string]error{"Append": appendErr, "Trim": trimErr, "Apply": applyErr} {
		if err == nil || !strings.Contains(err.Error(), "AppendTx") {
			t.Errorf("%s in a handler: got %v, want an error that names AppendTx", what, err)
		}
	}
	wantTexts(t, all(t, l, 10), "in", "out")
}

var errStop = errors.New("seen what was appended in the transaction")

func TestPlaceRefusesABucketOfOthers(t *testing.T) {
	db := newDB(t)
	on(t, db, logName)
	store, err := boltlog.NewStore(db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if _, err := store.Place(""); err == nil {
		t.Error("an empty name was accepted")
	}
	place, err := store.Place(logName)
	if err != nil {
		t.Fatal(err)
	}
	_, err = place.Load(t.Context(), "w")
	wantErr(t, err, "no place of workers")
	_, err = place.Lease(t.Context(), "w", "A", time.Second)
	wantErr(t, err, "no place of workers")
}
