package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/leaktest"
	"github.com/gapless-go/gapless/internal/testserver"
	redislog "github.com/gapless-go/gapless/source/redis"
)

// newClient returns a client of the server that ends with the test.
func newClient(t testing.TB, server *testserver.Redis) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openLog returns a log that ends with the test.
func openLog(t testing.TB, client redis.UniversalClient, name string, opts *redislog.Options) *redislog.Log {
	t.Helper()
	l, err := redislog.Open(t.Context(), client, name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// appendN appends n events, one a call, with data from the number.
func appendN(t testing.TB, l *redislog.Log, from, n int) cdc.Receipt {
	t.Helper()
	var last cdc.Receipt
	for i := from; i < from+n; i++ {
		r, err := l.Append(t.Context(), cdc.Event{Type: "n", Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		last = r
	}
	return last
}

// appendBatch appends n events in one call.
func appendBatch(t testing.TB, l *redislog.Log, n int) cdc.Receipt {
	t.Helper()
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = cdc.Event{Type: "n", Data: fmt.Append(nil, i)}
	}
	r, err := l.Append(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func bounds(t testing.TB, l cdc.Source) cdc.Bounds {
	t.Helper()
	b, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll reads every event above after, page by page.
func readAll(t testing.TB, l cdc.Source, after cdc.Cursor, limit int) []cdc.Event {
	t.Helper()
	var all []cdc.Event
	for {
		page, err := l.Read(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if page.Next == after.Seq {
			return all
		}
		after = cdc.Cursor{Epoch: after.Epoch, Seq: page.Next}
	}
}

// wantReset fails unless err is a reset with the reason.
func wantReset(t testing.TB, err error, reason cdc.Reason) *cdc.ResetError {
	t.Helper()
	reset, ok := errors.AsType[*cdc.ResetError](err)
	if !ok || reset.Reason != reason {
		t.Fatalf("got error %v, want a reset with reason %s", err, reason)
	}
	return reset
}

func TestAppendAndRead(t *testing.T) {
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "orders", nil)
	want := []cdc.Event{
		{ID: "a", Topic: "shop", Type: "order.created", Key: "1", Data: []byte("\x00\xff\r\n$5"), Meta: map[string]string{"trace": "1-é"}},
		{Topic: "shop", Type: "order.paid", Key: "1"},
		{},
	}
	before := time.Now().Add(-time.Second)
	receipt, err := l.Append(t.Context(), want...)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(receipt.Seqs) != "[1 2 3]" || receipt.Duplicate {
		t.Fatalf("got %+v, want seqs 1 2 3", receipt)
	}
	b := bounds(t, l)
	if b != (cdc.Bounds{Epoch: receipt.Epoch, Floor: 0, Head: 3, Last: 3}) {
		t.Fatalf("got %+v", b)
	}
	got := readAll(t, l, cdc.Cursor{Epoch: b.Epoch}, 2)
	for i, e := range got {
		if e.Time.Before(before) || e.Time.Location() != time.UTC {
			t.Errorf("event %d has time %v", i, e.Time)
		}
		w := want[i]
		if e.Seq != uint64(i+1) || e.ID != w.ID || e.Topic != w.Topic || e.Type != w.Type || e.Key != w.Key ||
			string(e.Data) != string(w.Data) || fmt.Sprint(e.Meta) != fmt.Sprint(w.Meta) {
			t.Errorf("got %+v, want %+v", e, w)
		}
	}
	if len(got) != 3 {
		t.Fatalf("got %d events, want 3", len(got))
	}
	for _, e := range got { // a cursor with a tag is good at once
		if _, err := l.Read(t.Context(), e.Cursor(b.Epoch), 10); err != nil {
			t.Error(err)
		}
	}
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: 2, Tag: "other"}, 10)
	_ = wantReset(t, err, cdc.ReasonDiverged)
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch, Seq: 4}, 10)
	_ = wantReset(t, err, cdc.ReasonFuture)
	_, err = l.Read(t.Context(), cdc.Cursor{Epoch: "other", Seq: 1}, 10)
	_ = wantReset(t, err, cdc.ReasonForeign)
}

func TestIDs(t *testing.T) {
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "x", nil)
	ev := func(ids ...string) (events []cdc.Event) {
		for _, id := range ids {
			events = append(events, cdc.Event{ID: id, Data: []byte(id)})
		}
		return events
	}
	for _, step := range []struct {
		ids       []string
		want      string
		duplicate bool
	}{
		{[]string{"a", "b"}, "[1 2]", false},
		{[]string{"a"}, "[1]", true},
		{[]string{"b", "c", "c", ""}, "[2 3 3 4]", false},
		{[]string{"c", "a"}, "[3 1]", true},
	} {
		r, err := l.Append(t.Context(), ev(step.ids...)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.Seqs); got != step.want || r.Duplicate != step.duplicate {
			t.Errorf("append %v: got %s %v, want %s %v", step.ids, got, r.Duplicate, step.want, step.duplicate)
		}
	}
	if _, err := l.Trim(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(t.Context(), ev("a", "c")...)
	if err != nil || fmt.Sprint(r.Seqs) != "[5 3]" {
		t.Errorf("after a trim: got %v, %v, want [5 3]", r.Seqs, err)
	}
}

// An Append beyond the limits is refused before anything is sent; one at the
// limit is stored.
func TestBatchLimits(t *testing.T) {
	t.Parallel()
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "x", nil)
	for _, test := range []struct {
		events []cdc.Event
		want   string
	}{
		{make([]cdc.Event, redislog.MaxBatchEvents+1), "50001 events"},
		{slices.Repeat([]cdc.Event{{Data: make([]byte, cdc.DefaultMaxEventBytes)}}, redislog.MaxBatchBytes/cdc.DefaultMaxEventBytes+1), "bytes together"},
	} {
		_, err := l.Append(t.Context(), test.events...)
		large, ok := errors.AsType[*cdc.BatchTooLargeError](err)
		if !ok || large.Events != len(test.events) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "several calls") {
			t.Errorf("got %v, want a BatchTooLargeError with %q", err, test.want)
		}
	}
	began := time.Now()
	r, err := l.Append(t.Context(), make([]cdc.Event, redislog.MaxBatchEvents)...)
	if err != nil || r.Seqs[0] != 1 || bounds(t, l).Head != redislog.MaxBatchEvents {
		t.Errorf("an append at the limit: got %d seqs, %v; want seqs 1 to %d", len(r.Seqs), err, redislog.MaxBatchEvents)
	}
	t.Logf("%d events took %v", redislog.MaxBatchEvents, time.Since(began))
}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	leaktest.Main(m)
}

// quiet drops what the client logs about connections that the tests cut.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
