package boltlog_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
	boltlog "github.com/gapless-go/gapless/source/bolt"
)

// A log whose bucket is deleted, or whose DB the application closes, ends those
// who follow it; they do not wait for ever for what cannot come.
func TestLogThatIsGoneEndsItsFollowers(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(db *bbolt.DB) error
		want error
	}{
		"the bucket is deleted": {func(db *bbolt.DB) error {
			return db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("events")) })
		}, cdc.ErrDeleted},
		"the DB is closed": {(*bbolt.DB).Close, cdc.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			db, err := bbolt.Open(filepath.Join(t.TempDir(), "app.db"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			log, err := boltlog.Open(ctx, db, "events", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.Close() }()
			hub, err := cdc.NewHub(log, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = hub.Close() }()
			ends := make(chan error)
			for _, followed := range []cdc.Log{log, hub} {
				followLive(ctx, followed, ends)
			}
			if err := test.end(db); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := <-ends; !errors.Is(err, test.want) {
					t.Errorf("a follower ended with %v, want %v", err, test.want)
				}
			}
			if _, err := log.Append(ctx, cdc.Event{}); !errors.Is(err, test.want) {
				t.Errorf("Append = %v, want %v", err, test.want)
			}
		})
	}
}

// followLive returns when a follower of the log is live, and sends what ends it.
func followLive(ctx context.Context, log cdc.Log, ends chan<- error) {
	live := make(chan struct{})
	isLive := sync.OnceFunc(func() { close(live) })
	go func() {
		for b, err := range cdc.Follow(ctx, log, cdc.Latest(), nil) {
			if err != nil {
				ends <- err
			} else if b.State == cdc.Live {
				isLive()
			}
		}
	}()
	<-live
}
