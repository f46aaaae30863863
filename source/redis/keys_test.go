package redislog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// Whatever is done to the keys: a cursor either gets exactly what follows it, or
// a reset, or an error; never a jump. That is asked of every cursor, before
// and after new appends, in the process that knew more and in a new one.
func TestOtherProgramsChangeKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage [][]any
	}{
		{"stream renamed away", [][]any{{"RENAME", streamKey, "gapless:{x}:aside"}}},
		{"hash renamed away", [][]any{{"RENAME", metaKey, "gapless:{x}:aside"}}},
		{"stream expired", [][]any{{"PEXPIRE", streamKey, 1}}},
		{"hash expired", [][]any{{"PEXPIRE", metaKey, 1}}},
		{"databases swapped", [][]any{{"SWAPDB", 0, 1}}},
		{"an older copy of both", [][]any{{"COPY", "old", metaKey, "REPLACE"}, {"COPY", "oldlog", streamKey, "REPLACE"}}},
		{"an older copy of the stream", [][]any{{"COPY", "oldlog", streamKey, "REPLACE"}}},
		{"an older copy of the hash", [][]any{{"COPY", "old", metaKey, "REPLACE"}}},
		{"head lowered", [][]any{{"HSET", metaKey, "head", 7}}},
		{"head raised", [][]any{{"HSET", metaKey, "head", 15}}},
		{"floor raised", [][]any{{"HSET", metaKey, "floor", 6}}},
		{"epoch changed", [][]any{{"HSET", metaKey, "epoch", "other"}}},
		{"a field of the hash removed", [][]any{{"HDEL", metaKey, "head"}}},
		{"a field that is no number", [][]any{{"HSET", metaKey, "floor", "many"}}},
		{"trimmed and written by others", [][]any{{"XTRIM", streamKey, "MAXLEN", 3}, {"XADD", streamKey, "*", "a", "b"}}},
	} {
		t.Run(test.name, func(t *testing.T) { checkDamage(t, test.damage) })
	}
}

const metaKey = "gapless:{x}"

// checkDamage asks every cursor of a log of ten events after the damage. Copies
// of the keys as they were at eight are in old and oldlog.
func checkDamage(t *testing.T, damage [][]any) {
	t.Helper()
	client := newClient(t, testserver.StartRedis(t))
	l := openLog(t, client, "x", nil)
	epoch := appendN(t, l, 1, 8).Epoch
	for _, pair := range [][2]string{{metaKey, "old"}, {streamKey, "oldlog"}} {
		if err := client.Copy(t.Context(), pair[0], pair[1], 0, true).Err(); err != nil {
			t.Fatal(err)
		}
	}
	appendN(t, l, 9, 2)
	events := readAll(t, l, cdc.Cursor{Epoch: epoch}, 100)
	for _, args := range damage {
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for client.PTTL(t.Context(), metaKey).Val() > 0 || client.PTTL(t.Context(), streamKey).Val() > 0 {
		time.Sleep(time.Millisecond)
	}
	checkAllTails(t, client, l, epoch, events)
}

// checkAllTails asks every cursor in this handle and in a new one, before and
// after an append.
func checkAllTails(t *testing.T, client *redis.Client, l *redislog.Log, epoch string, events []cdc.Event) {
	t.Helper()
	for range 2 {
		logs := []cdc.Source{l}
		if other, err := redislog.Open(t.Context(), client, "x", nil); err == nil {
			t.Cleanup(func() { _ = other.Close() })
			logs = append(logs, other)
		} else {
			t.Logf("open: %v", err)
		}
		for _, log := range logs {
			for _, e := range events {
				checkTail(t, log, e.Cursor(epoch), events)
			}
		}
		if _, err := l.Append(t.Context(), cdc.Event{Data: []byte("new")}); err != nil {
			t.Logf("append: %v", err)
		}
	}
}

// checkTail reads from the cursor to the end: the old events in order, then new
// ones, or an error.
func checkTail(t *testing.T, log cdc.Source, after cdc.Cursor, old []cdc.Event) {
	t.Helper()
	at := after
	for {
		page, err := log.Read(t.Context(), at, 3)
		if err != nil {
			if _, ok := errors.AsType[*cdc.ResetError](err); !ok {
				t.Logf("cursor %d: %v", after.Seq, err)
			}
			return
		}
		for _, e := range page.Events {
			if e.Seq != at.Seq+1 {
				t.Fatalf("got seq %d after %d: a silent jump", e.Seq, at.Seq)
			}
			if int(e.Seq) <= len(old) && string(e.Data) != string(old[e.Seq-1].Data) {
				t.Fatalf("got %q as event %d of this cursor, it was %q", e.Data, e.Seq, old[e.Seq-1].Data)
			}
			at = e.Cursor(at.Epoch)
		}
		if len(page.Events) == 0 {
			if int(at.Seq) < len(old) {
				t.Fatalf("cursor %d ended at %d without an error: %d to %d are lost silently", after.Seq, at.Seq, at.Seq+1, len(old))
			}
			return
		}
	}
}
