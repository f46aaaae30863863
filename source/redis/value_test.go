package redislog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/internal/testserver"
)

// Whatever an event is, it comes back as it was: also where a part is empty, is
// as large as a slab, or looks like another part.
func TestEventsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	l := openLog(t, newClient(t, testserver.StartRedis(t)), "x", nil)
	var want []cdc.Event
	for _, n := range []int{0, 1, 4095, 4096, 4097, 16 << 10, 16<<10 + 1, 100_000} {
		many := map[string]string{}
		for i := range min(n, 50) {
			many[fmt.Sprint("k", i)] = fmt.Sprint("v", i)
		}
		want = append(want,
			cdc.Event{Data: []byte(strings.Repeat("\x00", n))},
			cdc.Event{ID: fmt.Sprint("id", n), Key: strings.Repeat("k", n), Data: []byte("\x002\x00a\x00b\x00")},
			cdc.Event{Topic: strings.Repeat("é", n), Meta: many, Data: []byte("\r\n$-1\r\n")},
			cdc.Event{Type: "1", Meta: map[string]string{"": "", "2": strings.Repeat("v", n)}},
		)
	}
	for round := range 2 {
		if round == 1 {
			for i := range want {
				want[i].ID = ""
			}
		}
		receipt, err := l.Append(t.Context(), want...)
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 3, 512} {
			got := readAll(t, l, cdc.Cursor{Epoch: receipt.Epoch, Seq: receipt.Seqs[0] - 1}, limit)
			if len(got) != len(want) {
				t.Fatalf("got %d events, want %d", len(got), len(want))
			}
			for i, e := range got {
				w := want[i]
				if e.ID != w.ID || e.Topic != w.Topic || e.Type != w.Type || e.Key != w.Key ||
					string(e.Data) != string(w.Data) || fmt.Sprint(e.Meta) != fmt.Sprint(w.Meta) {
					t.Fatalf("event %d of round %d differs", i, round)
				}
			}
		}
	}
}

// Events of one call share entries; whatever the page, none is seen of that.
func TestEventsShareEntries(t *testing.T) {
	t.Parallel()
	client := newClient(t, testserver.StartRedis(t))
	l := openLog(t, client, "x", nil)
	epoch := bounds(t, l).Epoch
	var want []string // ids
	head := 0
	entry := func(n int) {
		head += n
		want = append(want, fmt.Sprintf("%d-%d", head, n-1))
	}
	for n := 1; n <= 20; n++ {
		appendBatch(t, l, n)
		for left := n; left > 0; left -= 8 {
			entry(min(left, 8))
		}
	}
	small, large := cdc.Event{Data: make([]byte, 800)}, cdc.Event{Data: make([]byte, 5000)}
	if _, err := l.Append(t.Context(), small, small, small, large, large, small); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{2, 1, 1, 1, 1} {
		entry(n)
	}
	// Duplicates lie between new events.
	if _, err := l.Append(t.Context(), cdc.Event{ID: "a"}, cdc.Event{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	entry(2)
	r, err := l.Append(t.Context(), cdc.Event{ID: "c"}, cdc.Event{}, cdc.Event{ID: "a"}, cdc.Event{ID: "d"}, cdc.Event{ID: "c"}, cdc.Event{ID: "e"})
	if err != nil || fmt.Sprint(r.Seqs) != fmt.Sprint([]int{head + 1, head + 2, head - 1, head + 3, head + 1, head + 4}) {
		t.Fatalf("got %v, %v after head %d", r.Seqs, err, head)
	}
	entry(2)
	entry(1)
	entry(1)
	if got := entryIDs(t, client); !slices.Equal(got, want) {
		t.Fatalf("got entries\n%v\nwant\n%v", got, want)
	}
	events := readAll(t, l, cdc.Cursor{Epoch: epoch}, 1000)
	if len(events) != head || fmt.Sprint(bounds(t, l)) != fmt.Sprint(cdc.Bounds{Epoch: epoch, Head: uint64(head), Last: uint64(head)}) {
		t.Fatalf("got %d events of %d, %v", len(events), head, bounds(t, l))
	}
	for _, limit := range []int{1, 2, 3, 7, 8, 9, 100} {
		checkPages(t, l, epoch, events, limit)
	}
}

func entryIDs(t *testing.T, client *redis.Client) []string {
	t.Helper()
	var ids []string
	for _, m := range client.XRange(t.Context(), streamKey, "-", "+").Val() {
		ids = append(ids, m.ID)
	}
	return ids
}

// checkPages reads a page after each event: it begins with the next one.
func checkPages(t *testing.T, l cdc.Source, epoch string, events []cdc.Event, limit int) {
	t.Helper()
	for i, e := range events {
		after := cdc.Cursor{Epoch: epoch}
		if i > 0 {
			after = events[i-1].Cursor(epoch)
		}
		page, err := l.Read(t.Context(), after, limit)
		if err != nil || len(page.Events) == 0 || len(page.Events) > limit || page.Next != after.Seq+uint64(len(page.Events)) {
			t.Fatalf("after %d: got %+v, %v", i, page, err)
		}
		if page.Events[0].Seq != e.Seq || page.Events[0].Tag() != e.Tag() {
			t.Fatalf("after %d: got %d", i, page.Events[0].Seq)
		}
	}
}

// An entry in our numbers that we did not write is an error, and no event.
func TestForeignEntryInOurNumbers(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]any{
		{"a", "b"},
		{"a", "b", "c", "d"},
		{"1795400000000000", "no texts"},
		{"1795400000000000", "\x00\x00\x00\x009\x00k\x00"},
		{"1795400000000000", "\x00\x00\x00\x00x\x00"},
		{"1795400000000000", "\x00\x00\x00\x00-1\x00"},
		{"1795400000000000", "", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00"}, // two events, and the id of one
	} {
		client := newClient(t, testserver.StartRedis(t))
		l := openLog(t, client, "x", nil)
		epoch := appendN(t, l, 1, 3).Epoch
		_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.XDel(t.Context(), streamKey, "3-0")
			p.Do(t.Context(), "XSETID", streamKey, "2-0")
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: streamKey, ID: "3-0", Values: fields})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := l.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: 1}, 5)
		if err == nil || !strings.Contains(err.Error(), "another program wrote it") {
			t.Errorf("%q: got %v, %v", fields, page, err)
		}
	}
}
