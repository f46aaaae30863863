package redislog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
)

// TestClientThatIsClosedEndsFollowers: when the application has closed its
// client and left the log open, the next event ends those who cannot read it.
func TestClientThatIsClosedEndsFollowers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	log := openLog(t, client, "events", nil)
	hub, err := cdc.NewHub(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	live, end := make(chan struct{}), make(chan error, 1)
	isLive := sync.OnceFunc(func() { close(live) })
	go func() {
		for { // a read that was under way ends with the error of its connection
			for b, err := range cdc.Follow(ctx, hub, cdc.Latest(), nil) {
				if errors.Is(err, cdc.ErrClosed) || ctx.Err() != nil {
					end <- err
					return
				} else if b.State == cdc.Live {
					isLive()
				}
			}
		}
	}()
	<-live
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	appendN(t, openLog(t, newClient(t, server), "events", nil), 0, 1)
	if err := <-end; !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("a follower ended with %v, want ErrClosed", err)
	}
	if _, err := log.Append(ctx, cdc.Event{}); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("Append = %v, want ErrClosed", err)
	}
}
