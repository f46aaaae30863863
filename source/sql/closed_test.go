package sqllog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// TestPoolThatIsClosedEndsFollowers: when the application has closed its
// database and left the log open, the next event ends those who cannot read it. A
// connection that the log holds outlives its pool, so nothing ends them before.
func TestPoolThatIsClosedEndsFollowers(t *testing.T) {
	each(t, func(t *testing.T, v variant) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		driver, dsn := v.open(t)
		db := connect(t, driver, dsn)
		log, other := openLog(t, db, v.opts), openLog(t, connect(t, driver, dsn), v.opts)
		hub, err := cdc.NewHub(log, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = hub.Close() }()
		ends := make(chan error)
		for _, followed := range []cdc.Log{log, hub} {
			followLive(ctx, followed, ends)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Append(ctx, cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("a follower ended with %v, want ErrClosed", err)
			}
		}
		if _, err := log.Append(ctx, cdc.Event{}); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Append = %v, want ErrClosed", err)
		}
	})
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
