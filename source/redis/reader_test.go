package redislog

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/internal/testserver"
)

// TestReaderThatEndsLate: it leaves the logs alone that its successor watches.
func TestReaderThatEndsLate(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: testserver.StartRedis(t).Addr})
	t.Cleanup(func() { _ = client.Close() })
	l, err := Open(t.Context(), client, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })

	connect := make(chan struct{}, 1) // one token for each reader
	v := &live{node: func(context.Context) (*redis.Client, error) {
		<-connect
		return client, nil
	}}
	first := newReader(v)
	v.reader = first
	w, _ := v.join(&l.handle)
	connect <- struct{}{}
	var successor *watch
	err = first.session(func() { // before it waits for the log to grow
		first.setConn(nil) // its end has begun, and has not come to the connection
		v.leave(w)
		successor, _ = v.join(&l.handle)
	})
	if err == nil {
		t.Error("the session of a reader that has ended returned nil")
	}
	connect <- struct{}{}
	<-successor.ready
	select {
	case <-successor.failed:
		t.Errorf("a reader that had ended failed what its successor watches: %v", successor.err)
	default:
	}
	v.close()
}
