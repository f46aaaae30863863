package redislog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

const streamKey = "gapless:{x}:log"

func TestTrim(t *testing.T) {
	t.Parallel()
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "x", nil)
	epoch := appendN(t, l, 1, 10).Epoch
	for _, step := range []struct {
		seq     uint64
		removed int
		floor   uint64
	}{{0, 0, 0}, {4, 4, 4}, {3, 0, 4}, {99, 6, 10}, {99, 0, 10}} {
		n, err := l.Trim(t.Context(), step.seq)
		if err != nil || n != step.removed {
			t.Errorf("trim %d: got %d, %v, want %d", step.seq, n, err, step.removed)
		}
		if b := bounds(t, l); b.Floor != step.floor || b.Head != 10 {
			t.Errorf("trim %d: got %+v, want floor %d", step.seq, b, step.floor)
		}
	}
	_, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 9}, 5)
	_ = wantReset(t, err, cdc.ReasonTruncated)
	if r := appendN(t, l, 11, 1); r.Seqs[0] != 11 {
		t.Errorf("got seq %v after everything was trimmed, want 11", r.Seqs)
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: epoch, Seq: 10}, 5); len(got) != 1 {
		t.Errorf("got %v, want one event", got)
	}
}

func TestTrimMany(t *testing.T) {
	t.Parallel()
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "x", nil)
	events := make([]cdc.Event, 2500)
	for i := range events {
		events[i].ID = "id" + string(rune('a'+i%26)) + strings.Repeat("x", i)
	}
	if _, err := l.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	n, err := l.Trim(t.Context(), 2400)
	if err != nil || n != 2400 {
		t.Fatalf("got %d, %v, want 2400", n, err)
	}
}

// Whatever other programs do to the stream: a cursor above it goes on, one
// below it is truncated, and new appends are delivered.
func TestOtherProgramsRemove(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		batch   bool // appended in one call: entries of events 1 to 8, and 9 and 10
		damage  []any
		good    []uint64 // cursors that go on
		bad     []uint64 // cursors that are truncated
		survive int      // events that can still be read from the floor
	}{
		{"XTRIM", false, []any{"XTRIM", streamKey, "MAXLEN", 4}, []uint64{6, 7, 10}, []uint64{0, 1, 5}, 4},
		{"XTRIM all", false, []any{"XTRIM", streamKey, "MAXLEN", 0}, []uint64{10}, []uint64{0, 9}, 0},
		{"DEL", false, []any{"DEL", streamKey}, []uint64{10}, []uint64{0, 9}, 0},
		{"XDEL first", false, []any{"XDEL", streamKey, "1-0"}, []uint64{1, 5, 10}, []uint64{0}, 9},
		{"XDEL middle", false, []any{"XDEL", streamKey, "5-0", "6-0"}, []uint64{10, 7, 6}, []uint64{4, 3, 0}, 4},
		{"XDEL last", false, []any{"XDEL", streamKey, "10-0"}, []uint64{10}, []uint64{9, 0}, 0},
		{"XTRIM of a batch", true, []any{"XTRIM", streamKey, "MAXLEN", 1}, []uint64{8, 9, 10}, []uint64{0, 4, 7}, 2},
		{"XTRIM that removes nothing", true, []any{"XTRIM", streamKey, "MINID", "5"}, []uint64{0, 3, 8, 9, 10}, nil, 10},
		{"XDEL of a batch", true, []any{"XDEL", streamKey, "10-1"}, []uint64{10}, []uint64{9, 8, 5, 0}, 0},
	} {
		for _, c := range append(test.good, test.bad...) {
			t.Run(test.name, func(t *testing.T) {
				client := newClient(t, testserver.StartRedis(t))
				l := openLog(t, client, "x", nil)
				epoch := bounds(t, l).Epoch
				if test.batch {
					appendBatch(t, l, 10)
				} else {
					appendN(t, l, 1, 10)
				}
				if err := client.Do(t.Context(), test.damage...).Err(); err != nil {
					t.Fatal(err)
				}
				got, err := follow(t, l, cdc.Cursor{Epoch: epoch, Seq: c})
				if isGood := slices.Contains(test.good, c); isGood != (err == nil) {
					t.Fatalf("cursor %d: got %v and %v", c, got, err)
				}
				if err != nil {
					_ = wantReset(t, err, cdc.ReasonTruncated)
				}
				checkGoesOn(t, l, epoch)
			})
		}
	}
}

// checkGoesOn wants the head to be 10 still, and an append to be delivered there.
func checkGoesOn(t *testing.T, l *redislog.Log, epoch string) {
	t.Helper()
	b := bounds(t, l)
	if b.Epoch != epoch || b.Head != 10 {
		t.Errorf("got %+v, want the epoch and head 10", b)
	}
	rest, err := follow(t, l, cdc.Cursor{Epoch: epoch, Seq: 10})
	if err != nil || len(rest) != 0 {
		t.Errorf("got %v, %v at the head", rest, err)
	}
	appendN(t, l, 11, 1)
	if rest, err = follow(t, l, cdc.Cursor{Epoch: epoch, Seq: 10}); err != nil || len(rest) != 1 {
		t.Errorf("got %v, %v after an append, want one event", rest, err)
	}
}

// An entry that holds more than was trimmed stays until its last event is.
func TestTrimWithinAnEntry(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	l := openLog(t, client, "x", nil)
	events := make([]cdc.Event, 10)
	for i := range events {
		events[i] = cdc.Event{ID: fmt.Sprint("id", i+1), Data: fmt.Append(nil, i+1)}
	}
	epoch := bounds(t, l).Epoch
	if _, err := l.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		seq     uint64
		removed int
		entries int64
	}{{3, 3, 2}, {7, 4, 2}, {8, 1, 1}, {9, 1, 1}} {
		n, err := l.Trim(t.Context(), step.seq)
		if entries := client.XLen(t.Context(), streamKey).Val(); n != step.removed || err != nil || entries != step.entries {
			t.Fatalf("trim %d: got %d, %v and %d entries, want %d and %d", step.seq, n, err, entries, step.removed, step.entries)
		}
		if b := bounds(t, l); b.Floor != step.seq || b.Epoch != epoch {
			t.Errorf("trim %d: got %+v", step.seq, b)
		}
		_, err = l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: step.seq - 1}, 5)
		_ = wantReset(t, err, cdc.ReasonTruncated)
		if got := readAll(t, l, cdc.Cursor{Epoch: epoch, Seq: step.seq}, 2); len(got) != 10-int(step.seq) || got[0].Seq != step.seq+1 {
			t.Errorf("trim %d: got %v", step.seq, got)
		}
	}
	// An ID is known as long as its event is there.
	r, err := l.Append(t.Context(), events[9], events[8], events[0])
	if err != nil || fmt.Sprint(r.Seqs) != "[10 11 12]" {
		t.Errorf("got %v, %v, want the duplicate 10 and two new events", r, err)
	}
}

// follow reads to the end and fails on a jump.
func follow(t testing.TB, l cdc.Source, after cdc.Cursor) ([]uint64, error) {
	t.Helper()
	var seqs []uint64
	for {
		page, err := l.Read(t.Context(), after, 3)
		if err != nil {
			return seqs, err
		}
		for _, e := range page.Events {
			if e.Seq != after.Seq+1 {
				t.Fatalf("got seq %d after %d: a silent jump", e.Seq, after.Seq)
			}
			after.Seq = e.Seq
			seqs = append(seqs, e.Seq)
		}
		if len(page.Events) == 0 {
			return seqs, nil
		}
	}
}

func TestFlushAllIsAnotherEpoch(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FLUSHALL", "DEL meta"} {
		t.Run(command, func(t *testing.T) {
			server := testserver.StartRedis(t)
			client := newClient(t, server)
			l := openLog(t, client, "x", nil)
			s := subscribe(t, l)
			epoch := appendN(t, l, 1, 10).Epoch
			if err := next(t, s); err != nil {
				t.Fatal(err)
			}
			args := []any{"FLUSHALL"}
			if command != "FLUSHALL" {
				args = []any{"DEL", "gapless:{x}"}
			}
			if err := client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
			_ = wantReset(t, next(t, s), cdc.ReasonEpochChanged)
			_, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 10}, 5)
			reset := wantReset(t, err, cdc.ReasonForeign)
			if r := appendN(t, l, 11, 1); r.Seqs[0] != reset.Head+1 || r.Epoch != reset.Resume.Epoch {
				t.Errorf("got %+v after %+v", r, reset)
			}
			if got := readAll(t, l, reset.Resume, 5); len(got) != 1 {
				t.Errorf("got %v, want the one new event", got)
			}
		})
	}
}

func TestScriptFlush(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	l := openLog(t, client, "x", nil)
	appendN(t, l, 1, 1)
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if r := appendN(t, l, 2, 1); r.Seqs[0] != 2 {
		t.Errorf("got %v, want 2", r.Seqs)
	}
}

func TestReadOnlyReplica(t *testing.T) {
	t.Parallel()
	master := testserver.StartRedis(t)
	openLog(t, newClient(t, master), "x", nil)
	replica := testserver.StartReplica(t, master)
	_, err := redislog.Open(t.Context(), newClient(t, replica), "x", nil)
	if err == nil || !strings.Contains(err.Error(), "read-only replica") {
		t.Errorf("got %v", err)
	}
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t, "--maxmemory-policy", "noeviction"))
	l := openLog(t, client, "x", nil)
	epoch := appendN(t, l, 1, 50).Epoch
	if err := client.ConfigSet(t.Context(), "maxmemory", "1000000").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := l.Append(t.Context(), cdc.Event{ID: "a"}, cdc.Event{ID: "b"})
	if !redis.IsOOMError(err) || !strings.Contains(err.Error(), "maxmemory") || errors.Is(err, cdc.ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if n, err := l.Trim(t.Context(), 20); n != 20 || err != nil {
		t.Errorf("trim: got %d, %v, want 20: it must work without memory", n, err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(t.Context(), cdc.Event{ID: "a"}, cdc.Event{ID: "b"})
	if err != nil || r.Seqs[0] != 51 || r.Duplicate {
		t.Errorf("got %+v, %v, want seq 51", r, err)
	}
	if got := readAll(t, l, cdc.Cursor{Epoch: epoch, Seq: 20}, 7); len(got) != 32 {
		t.Errorf("got %d events, want 32", len(got))
	}
}

// A user without rights for a part gets told which.
func TestACL(t *testing.T) {
	t.Parallel()
	server := testserver.StartRedis(t)
	client := newClient(t, server)
	l := openLog(t, client, "x", nil)
	appendN(t, l, 1, 3)
	t.Run("documented rights", func(t *testing.T) {
		l := openLog(t, as(t, server, "~gapless:*", "+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+time", "+info"), "x", nil)
		subscribe(t, l)
		appendN(t, l, 4, 1)
	})
	t.Run("read only", func(t *testing.T) {
		l := openLog(t, as(t, server, "~gapless:*", "+@read", "+@transaction", "+@connection", "+info"), "x", nil)
		subscribe(t, l)
		readAll(t, l, cdc.Cursor{Epoch: bounds(t, l).Epoch}, 2)
		_, err := l.Append(t.Context(), cdc.Event{})
		if err == nil || !strings.Contains(err.Error(), "lacks rights") || errors.Is(err, cdc.ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no XADD", func(t *testing.T) {
		l := openLog(t, as(t, server, "~gapless:*", "+@all", "-xadd"), "x", nil)
		_, err := l.Append(t.Context(), cdc.Event{})
		if err == nil || !strings.Contains(err.Error(), "lacks rights") || errors.Is(err, cdc.ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no XREAD", func(t *testing.T) {
		l := openLog(t, as(t, server, "~gapless:*", "+@all", "-xread"), "x", nil)
		_, err := l.Subscribe(t.Context())
		if err == nil || !strings.Contains(err.Error(), "lacks rights") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("other keys", func(t *testing.T) {
		_, err := redislog.Open(t.Context(), as(t, server, "~other:*", "+@all"), "x", nil)
		if err == nil || !strings.Contains(err.Error(), "lacks rights") {
			t.Errorf("got %v", err)
		}
	})
}

// as returns a client of a user with these rights.
func as(t *testing.T, server *testserver.Redis, rules ...any) *redis.Client {
	t.Helper()
	args := append([]any{"ACL", "SETUSER", "u", "reset", "on", ">pw"}, rules...)
	do(t, newClient(t, server), args...)
	c := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "u", Password: "pw"})
	t.Cleanup(func() { _ = c.Close() })
	return c
}
