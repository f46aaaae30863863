package redislog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

func openStream(t testing.TB, c redis.UniversalClient, opts *redislog.StreamOptions) *redislog.Stream {
	t.Helper()
	s, err := redislog.OpenStream(t.Context(), c, "s", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// xadd adds n entries as other programs do and returns their ids.
func xadd(t testing.TB, c *redis.Client, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id, err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []any{"n", i, "text", "é"}}).Result()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestStream(t *testing.T) {
	t.Parallel()
	c := newClient(t, testserver.StartRedis(t))
	s := openStream(t, c, nil)
	if b := bounds(t, s); b.Head != 0 || b.Floor != 0 {
		t.Errorf("got %+v for a stream that does not exist", b)
	}
	sub, err := s.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	ids := xadd(t, c, 200)
	if err := next(t, sub); err != nil {
		t.Fatal(err)
	}
	epoch := bounds(t, s).Epoch
	all := readAll(t, s, cdc.Cursor{Epoch: epoch}, 7)
	if len(all) != len(ids) {
		t.Fatalf("got %d events, want %d", len(all), len(ids))
	}
	for i, e := range all {
		if e.ID != ids[i] || string(e.Data) != fmt.Sprintf(`{"n":"%d","text":"é"}`, i) || time.Since(e.Time) > time.Minute {
			t.Fatalf("got %+v, want entry %s", e, ids[i])
		}
		if i > 0 && e.Seq <= all[i-1].Seq {
			t.Fatalf("seq %d follows %d", e.Seq, all[i-1].Seq)
		}
		page, err := s.Read(t.Context(), e.Cursor(epoch), 1000)
		if err != nil || page.Next != e.Seq && page.Events[0].ID != ids[i+1] {
			t.Fatalf("cursor %d: got %v", i, err)
		}
	}
}

// What is removed is a typed reset for whoever may miss it.
func TestStreamRemovals(t *testing.T) {
	t.Parallel()
	for _, test := range removals() {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, testserver.StartRedis(t))
			s := openStream(t, c, &test.opts)
			ids := xadd(t, c, 10)
			epoch := bounds(t, s).Epoch
			all := readAll(t, s, cdc.Cursor{Epoch: epoch}, 100)
			if err := c.Do(t.Context(), test.damage(c, ids)...).Err(); err != nil {
				t.Fatal(err)
			}
			for i, at := range []int{0, 4, 8, 9} {
				_, err := s.Read(t.Context(), all[at].Cursor(epoch), 100)
				if want := test.reason[i]; want != "" {
					_ = wantReset(t, err, want)
				} else if err != nil {
					t.Errorf("cursor %d: got %v", at, err)
				}
			}
		})
	}
}

// removal is a command that removes entries of ten.
type removal struct {
	name   string
	damage func(c *redis.Client, ids []string) []any
	opts   redislog.StreamOptions
	reason []cdc.Reason // for the cursors of entries 0, 4, 8 and 9 ; "" goes on
}

func removals() []removal {
	return []removal{
		{
			"MAXLEN 4", func(*redis.Client, []string) []any { return []any{"XTRIM", "s", "MAXLEN", 4} },
			redislog.StreamOptions{},
			[]cdc.Reason{cdc.ReasonTruncated, cdc.ReasonTruncated, "", ""},
		},
		{
			"MAXLEN 0", func(*redis.Client, []string) []any { return []any{"XTRIM", "s", "MAXLEN", 0} },
			redislog.StreamOptions{},
			[]cdc.Reason{cdc.ReasonTruncated, cdc.ReasonTruncated, cdc.ReasonTruncated, ""},
		},
		{
			"XDEL in the middle", func(_ *redis.Client, ids []string) []any { return []any{"XDEL", "s", ids[6]} },
			redislog.StreamOptions{},
			[]cdc.Reason{cdc.ReasonTruncated, cdc.ReasonTruncated, "", ""},
		},
		{
			"XDEL ignored", func(_ *redis.Client, ids []string) []any { return []any{"XDEL", "s", ids[6], ids[4]} },
			redislog.StreamOptions{IgnoreDeleted: true},
			[]cdc.Reason{"", "", "", ""},
		},
		{
			"DEL", func(*redis.Client, []string) []any { return []any{"DEL", "s"} },
			redislog.StreamOptions{},
			[]cdc.Reason{cdc.ReasonFuture, cdc.ReasonFuture, cdc.ReasonFuture, cdc.ReasonFuture},
		},
	}
}

func TestStreamMadeAnew(t *testing.T) {
	t.Parallel()
	c := newClient(t, testserver.StartRedis(t))
	s := openStream(t, c, nil)
	xadd(t, c, 10)
	epoch := bounds(t, s).Epoch
	all := readAll(t, s, cdc.Cursor{Epoch: epoch}, 100)
	sub, err := s.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	if err := c.Del(t.Context(), "s").Err(); err != nil {
		t.Fatal(err)
	}
	err = next(t, sub)
	for err == nil {
		err = next(t, sub)
	}
	if reset := wantReset(t, err, cdc.ReasonEpochChanged); reset.Resume.Epoch != epoch {
		t.Errorf("got %+v, want to resume in %s", reset, epoch)
	}
	xadd(t, c, 3)
	_, err = s.Read(t.Context(), all[9].Cursor(epoch), 100)
	_ = wantReset(t, err, cdc.ReasonDiverged)
	if got := readAll(t, s, cdc.Cursor{Epoch: epoch}, 100); len(got) != 3 {
		t.Errorf("got %d events, want 3", len(got))
	}
}

func TestStreamErrors(t *testing.T) {
	t.Parallel()
	c := newClient(t, testserver.StartRedis(t))
	s := openStream(t, c, nil)
	if _, err := cdc.Append(t.Context(), s, cdc.Event{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported: it is read-only", err)
	}
	if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", ID: "5000000000000-1", Values: []any{"a", "b"}}).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bounds(t.Context()); err == nil || !strings.Contains(err.Error(), "no id as XADD * makes them") {
		t.Errorf("got %v", err)
	}
	if err := c.Set(t.Context(), "text", "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := redislog.OpenStream(t.Context(), c, "text", nil); err == nil || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("got %v", err)
	}
}
