package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// consumerState is what a consumer stores; it outlives its log.
type consumerState struct {
	cursor cdc.Cursor
	seqs   []uint64
	resets []cdc.Reason
}

// consumer keeps events until it has the given seq.
func (k *consumerState) consumer(until uint64) remote.Consumer {
	return remote.Consumer{
		Start: cdc.Beginning(),
		Load:  func(context.Context) (cdc.Cursor, error) { return k.cursor, nil },
		Save: func(_ context.Context, c cdc.Cursor) error {
			k.cursor = c
			if c.Seq >= until {
				return errComplete
			}
			return nil
		},
		Handle: func(_ context.Context, events []cdc.Event) error {
			for _, e := range events {
				k.seqs = append(k.seqs, e.Seq)
			}
			return nil
		},
		Reset: func(_ context.Context, r *cdc.ResetError) error {
			k.resets = append(k.resets, r.Reason)
			return nil
		},
	}
}

func (k *consumerState) follow(t *testing.T, l *remote.Log, until uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Follow(ctx, k.consumer(until)); !errors.Is(err, errComplete) {
		t.Fatalf("Follow ended with %v, has %v", err, k.seqs)
	}
}

// A consumer whose connections are cut and whose process ends goes on where it
// was, and is told once of what it cannot have.
func TestFollow(t *testing.T) {
	s, log := serveNew(t, nil)
	var k consumerState
	appendData(t, log, "1", "2", "3")
	k.follow(t, open(t, s.URL, nil), 3)

	appendData(t, log, "4")
	cuts := make(chan struct{})
	go func() {
		defer close(cuts)
		for seq := 5; seq <= 40; seq++ {
			if seq%3 == 0 {
				s.CloseClientConnections()
			}
			if _, err := log.Append(t.Context(), cdc.Event{Data: []byte("x")}); err != nil {
				t.Error(err)
			}
		}
	}()
	k.follow(t, open(t, s.URL, nil), 40)
	<-cuts
	want := make([]uint64, 40)
	for i := range want {
		want[i] = uint64(i + 1)
	}
	if !slices.Equal(k.seqs, want) || len(k.resets) > 0 {
		t.Fatalf("got %v and resets %v, want 1 to 40 and none", k.seqs, k.resets)
	}

	appendData(t, log, "41", "42")
	if _, err := log.Trim(t.Context(), 41); err != nil {
		t.Fatal(err)
	}
	k.seqs = nil
	k.follow(t, open(t, s.URL, nil), 42)
	if len(k.seqs) > 0 || !slices.Equal(k.resets, []cdc.Reason{cdc.ReasonTruncated}) || k.cursor.Seq != 42 {
		t.Errorf("after a trim: got %v, resets %v, at %v", k.seqs, k.resets, k.cursor)
	}
}

// The last cursor is stored when the consumer is told to end, though progress
// is stored once a second only.
func TestFollowStoresTheLastCursor(t *testing.T) {
	s, log := serveNew(t, nil)
	appendData(t, log, "1", "2")
	ctx, cancel := context.WithCancel(t.Context())
	var k consumerState
	c := k.consumer(99)
	c.Start, c.Handle = cdc.Latest(), nil
	l := open(t, s.URL, nil)
	if err := l.Follow(ctx, c); err == nil {
		t.Error("a consumer without Handle was accepted")
	}
	c.Handle = func(context.Context, []cdc.Event) error { return nil }
	save := c.Save
	c.Save = func(ctx context.Context, at cdc.Cursor) error {
		cancel()
		return save(ctx, at)
	}
	if err := l.Follow(ctx, c); !errors.Is(err, context.Canceled) || k.cursor.Seq != 2 {
		t.Errorf("ended with %v at %v", err, k.cursor)
	}
}

func TestFollowEnds(t *testing.T) {
	status := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		status = http.StatusForbidden
	}))
	defer server.Close()
	var failures []error
	l := open(t, server.URL, &remote.Options{OnError: func(err error) { failures = append(failures, err) }})
	var k consumerState
	err := l.Follow(t.Context(), k.consumer(1))
	refused, ok := errors.AsType[*remote.StatusError](err)
	if !ok || refused.Status != http.StatusForbidden || len(failures) != 1 {
		t.Errorf("ended with %v after %v, want status 403 after one of 503", err, failures)
	}

	s, log := serveNew(t, nil)
	appendData(t, log, "1")
	l = open(t, s.URL, nil)
	failure := fmt.Errorf("the disk is full")
	c := k.consumer(9)
	c.Handle = func(context.Context, []cdc.Event) error { return failure }
	if err := l.Follow(t.Context(), c); !errors.Is(err, failure) || k.cursor != (cdc.Cursor{}) && k.cursor.Seq > 0 {
		t.Errorf("ended with %v at %v, want %v before the event", err, k.cursor, failure)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Follow(t.Context(), k.consumer(9)); !errors.Is(err, cdc.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
