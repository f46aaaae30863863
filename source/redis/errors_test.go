package redislog_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "redis: ") {
		t.Errorf("got error %v, want one with %q", err, text)
	}
	if errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Errorf("got an unknown outcome: %v", err)
	}
}

// TestErrorsOfKeys: what others have put in the place of ours.
func TestErrorsOfKeys(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	t.Run("meta of another type", func(t *testing.T) {
		do(t, client, "SET", "gapless:{type}", "text")
		_, err := redislog.Open(t.Context(), client, "type", nil)
		wantError(t, err, "holds something else")
	})
	t.Run("alien hash", func(t *testing.T) {
		do(t, client, "HSET", "gapless:{hash}", "name", "value")
		_, err := redislog.Open(t.Context(), client, "hash", nil)
		wantError(t, err, "none of this log")
	})
	t.Run("alien stream", func(t *testing.T) {
		do(t, client, "XADD", "gapless:{alien}:log", "*", "name", "value")
		_, err := redislog.Open(t.Context(), client, "alien", nil)
		wantError(t, err, "none of this log")
		if n := client.XLen(t.Context(), "gapless:{alien}:log").Val(); n != 1 {
			t.Errorf("got %d entries left, want 1", n)
		}
	})
	t.Run("stream of another type", func(t *testing.T) {
		l := openLog(t, client, "type2", nil)
		do(t, client, "SET", "gapless:{type2}:log", "text")
		_, err := l.Append(t.Context(), cdc.Event{})
		wantError(t, err, "holds something else")
		do(t, client, "DEL", "gapless:{type2}:log")
		if r := appendN(t, l, 1, 1); r.Seqs[0] != 1 {
			t.Errorf("got seq %d after a failed append, want 1", r.Seqs[0])
		}
	})
	t.Run("version", func(t *testing.T) {
		l := openLog(t, client, "version", nil)
		appendN(t, l, 1, 1)
		do(t, client, "HSET", "gapless:{version}", "v", "1")
		_, err := redislog.Open(t.Context(), client, "version", nil)
		wantError(t, err, "upgrade")
		_, err = l.Append(t.Context(), cdc.Event{})
		wantError(t, err, "upgrade")
		_, err = l.Trim(t.Context(), 1)
		wantError(t, err, "upgrade")
	})
	t.Run("others add", func(t *testing.T) { appendBesideOthers(t, client) })
}

// appendBesideOthers: an entry of another program is an error that says how to
// mend it, and is never read as an event.
func appendBesideOthers(t *testing.T, client *redis.Client) {
	t.Helper()
	l := openLog(t, client, "adds", nil)
	appendBatch(t, l, 2)
	id := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "gapless:{adds}:log", Values: []any{"name", "value"}}).Val()
	_, err := l.Append(t.Context(), cdc.Event{}, cdc.Event{})
	wantError(t, err, "another program adds")
	beginning := cdc.Cursor{Epoch: bounds(t, l).Epoch}
	if got := readAll(t, l, beginning, 10); len(got) != 2 {
		t.Errorf("got %d events, want our 2", len(got))
	}
	do(t, client, "XDEL", "gapless:{adds}:log", id) // what the error says
	do(t, client, "XSETID", "gapless:{adds}:log", "2-99")
	if r := appendBatch(t, l, 3); r.Seqs[0] != 3 {
		t.Errorf("got %v, want 3 to 5", r.Seqs)
	}
	if got := readAll(t, l, beginning, 10); len(got) != 5 {
		t.Errorf("got %d events, want 5", len(got))
	}
}

// do runs a command that must succeed.
func do(t *testing.T, client *redis.Client, args ...any) {
	t.Helper()
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestErrorsOfCalls: what the application has given or done.
func TestErrorsOfCalls(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	t.Run("client", func(t *testing.T) {
		ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": server.Addr}})
		defer func() { _ = ring.Close() }()
		_, err := redislog.Open(t.Context(), ring, "x", nil)
		wantError(t, err, "cannot carry a log")
	})
	t.Run("nobody there", func(t *testing.T) {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
		defer func() { _ = c.Close() }()
		_, err := redislog.Open(t.Context(), c, "x", nil)
		wantError(t, err, "refused")
	})
	t.Run("too large", func(t *testing.T) {
		l := openLog(t, client, "large", &redislog.Options{MaxEventBytes: 10})
		_, err := l.Append(t.Context(), cdc.Event{Data: make([]byte, 11)})
		if large, ok := errors.AsType[*cdc.TooLargeError](err); !ok || large.Max != 10 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		l := openLog(t, client, "closed", nil)
		_ = l.Close()
		_, err1 := l.Append(t.Context(), cdc.Event{})
		_, err2 := l.Read(t.Context(), cdc.Cursor{Epoch: "x"}, 1)
		_, err3 := l.Subscribe(t.Context())
		_, err4 := l.Trim(t.Context(), 1)
		for _, err := range []error{err1, err2, err3, err4} {
			if !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
	t.Run("context", func(t *testing.T) {
		l := openLog(t, client, "ctx", nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err1 := l.Append(ended, cdc.Event{})
		_, err2 := l.Bounds(ended)
		for _, err := range []error{err1, err2} {
			if !errors.Is(err, context.Canceled) || errors.Is(err, cdc.ErrUnknownOutcome) {
				t.Errorf("got %v, want Canceled", err)
			}
		}
	})
}
