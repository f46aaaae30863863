package conformance

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// identityCases are about what makes two IDs the same.
func identityCases() []Case {
	g := verify.Idempotent
	return []Case{
		{Guarantee: g, Situation: "SameTime", Sentence: "an ID that several writers append at the same moment is one event, and each is told its seq", run: sameTime},
		{Guarantee: g, Situation: "DifferentIDs", Sentence: "IDs that differ in case, spaces, accents, digits or at their end are different", run: differentIDs},
		{Guarantee: g, Situation: "KeepsFirst", Sentence: "appending an ID again with other contents changes nothing of the first event, whatever the topic, the type and the key", run: keepsFirst},
		{Guarantee: g, Situation: "Remembered", Sentence: "an ID is known as long as its event is there, however many events and however much time lie between", run: rememberedID},
		{Guarantee: g, Situation: "OthersTrimmed", Sentence: "an ID is known when others were trimmed", run: othersTrimmed},
		{Guarantee: g, Situation: "InTransaction", Sentence: "an ID that is known adds nothing in a transaction either", needs: []need{needBegin}, run: knownInTransaction},
		{Guarantee: g, Situation: "TwoTransactions", Sentence: "of two open transactions with the same ID, whichever ends first and however, one event comes of it at most", needs: []need{needThree}, run: sameIDInTwo},
		{Guarantee: g, Situation: "SecondHandle", Sentence: "an ID that was appended through one handle is known to the other", needs: []need{needSecond}, run: secondHandleKnows},
	}
}

// sameTime lets the writers meet before each append.
func sameTime(t *test) {
	const writers, ids = 4, 15
	log := t.open()
	for range ids {
		e := t.Event()
		var group sync.WaitGroup
		var receipts [writers]cdc.Receipt
		meet := make(chan struct{})
		for w := range writers {
			group.Go(func() {
				<-meet
				r, err := t.TryAppend(log, e)
				if err != nil {
					t.NoteAppendFailed(err)
				}
				receipts[w] = r
			})
		}
		close(meet)
		group.Wait()
		for _, r := range receipts {
			t.Want(slices.Equal(r.Seqs, receipts[0].Seqs), "ID %q was appended by %d writers at the same moment: the receipts are %+v", e.ID, writers, receipts)
		}
	}
	got := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)
	t.Want(len(got) == ids, "%d IDs were appended by %d writers at the same moment, the log holds %d events", ids, writers, len(got))
	t.Record(log)
}

// confusable are IDs that some store takes for one another: by a collation, a
// type of its columns, a length, a pattern.
func confusable() []string {
	const uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	ids := []string{
		// Each two have one CRC-32, one FNV-1a of 32 bits, one hashCode of Java.
		"plumless", "buckeroo", "costarring", "liquid", "Aa", "BB",
		"id", "ID", "Id", " id", "id ", "id  ", "id\t", "id\n", "i d",
		"é", "e\u0301", "e", "É", "ı", "i", "ß", "ss", "ﬁ", "fi",
		"1", "01", "1.0", "+1", "1e0", "0x1", "10", "9",
		"ab", "a%", "a_", "a*", "a?", "a\\", "null", "NULL", "nil", "true", "{}",
		" ", "  ", "\t", "0", "-", "false", "undefined", "id.", "id/", "id:", "a:b", "a/b", "a'b", "a''b", "a\"b", "a\\'b", "a b", "a+b", "a%20b", "a\u00a0b", "a\nb", "a\r\nb",
		"🎯", "🎲", "日本", "日本語", "id\u200b", "\ufeffid", "i\u00add",
		uuid, strings.ToUpper(uuid), strings.ReplaceAll(uuid, "-", ""), "{" + uuid + "}",
	}
	for _, n := range []int{31, 63, 127, 255, 300} {
		long := strings.Repeat("x", n)
		ids = append(ids, long, long+"1", long+"2")
	}
	return ids
}

func differentIDs(t *test) {
	log := t.open()
	ids := confusable()
	for i, id := range ids {
		e := t.Event()
		e.ID = id
		r := t.Append(log, e)
		t.Want(!r.Duplicate, "ID %q was taken for one of %q", id, ids[:i])
	}
	got := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 1000)
	t.Want(len(got) == len(ids), "%d different IDs were appended, the log holds %d events", len(ids), len(got))
	for i, e := range got {
		t.Want(e.ID == ids[i], "event %d was appended with the ID %q and read with %q", e.Seq, ids[i], e.ID)
	}
	together := make([]cdc.Event, len(ids))
	for i, id := range ids {
		together[i] = cdc.Event{ID: id}
	}
	t.Want(t.Append(log, together...).Duplicate, "the same IDs were appended again, together, and some were added")
	t.Record(log)
}

func keepsFirst(t *test) {
	log := t.open()
	first := t.Event()
	r := t.Append(log, first)
	held := t.ReadAll(log, cdc.Cursor{Epoch: r.Epoch}, 10)
	for what, change := range map[string]func(*cdc.Event){
		"topic":          func(e *cdc.Event) { e.Topic = "another topic" },
		"type":           func(e *cdc.Event) { e.Type = "another type" },
		"key":            func(e *cdc.Event) { e.Key = "another key" },
		"data":           func(e *cdc.Event) { e.Data = []byte("other data") },
		"metadata":       func(e *cdc.Event) { e.Meta = map[string]string{"other": "metadata"} },
		"everything":     func(e *cdc.Event) { *e = cdc.Event{ID: e.ID} },
		"copy of itself": func(*cdc.Event) {},
	} {
		time.Sleep(time.Millisecond) // so that another time is another
		e := first.Clone()
		change(&e)
		again := t.Append(log, e)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, r.Seqs), "ID %q was appended again with another %s: the receipt is %+v, the first was %+v", e.ID, what, again, r)
		now := t.ReadAll(log, cdc.Cursor{Epoch: r.Epoch}, 10)
		t.Want(slices.Equal(sumsOf(now), sumsOf(held)), "ID %q was appended again with another %s, and that changed what is stored, or added %s", e.ID, what, trial.EventsText(now))
	}
}

func rememberedID(t *test) {
	log := t.open()
	e := t.Event()
	first := t.Append(log, e)
	others := 0
	for _, later := range []time.Duration{5 * time.Minute, 2 * time.Hour, 25 * time.Hour, 8 * 24 * time.Hour} {
		t.FillFast(log, far/4)
		others += far / 4
		if trial.InBubble() {
			t.SleepLong(later)
		}
		again := t.Append(log, e)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs), "ID %q was appended again after %d other events: the receipt is %+v, the first was %+v", e.ID, others, again, first)
	}
}

// othersTrimmed has IDs that are beginnings and patterns of others.
func othersTrimmed(t *test) {
	log := t.open()
	ids := append([]string{"%", "_"}, confusable()...)
	events := make([]cdc.Event, len(ids))
	for i, id := range ids {
		events[i] = cdc.Event{ID: id}
	}
	first := t.Append(log, events...)
	for _, n := range []int{0, 1, 2, 3, 10, len(ids) / 2, len(ids) - 2} {
		t.trim(log, first.Seqs[n])
		again := t.Append(log, events[n+1:]...)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs[n+1:]), "after a trim to %d, the events above it were appended again: the receipt is %+v", first.Seqs[n], again)
	}
}

func knownInTransaction(t *test) {
	log := t.open()
	events := t.Events(2)
	first := t.Append(log, events...)
	for n := range 3 {
		extra := t.Event()
		tx := t.BeginTraced(log)
		// events[0] is known, extra is there twice.
		if err := tx.Append(t.Ctx, events[0], extra); err != nil {
			t.StoreFailed("Tx.Append", err)
		}
		if err := tx.Append(t.Ctx, extra, events[1]); err != nil {
			t.StoreFailed("Tx.Append", err)
		}
		if err := tx.Commit(t.Ctx); err != nil {
			t.StoreFailed("Tx.Commit", err)
		}
		got := t.ReadAll(log, cdc.Cursor{Epoch: first.Epoch}, 100)
		t.Want(len(got) == 3+n && got[2+n].ID == extra.ID, "a transaction appended two known IDs and twice a new one: the log holds %s, want %d events", trial.EventsText(got), 3+n)
	}
}

// sameIDInTwo: a store may make the second wait for the first, or refuse it.
func sameIDInTwo(t *test) {
	log := t.open()
	epoch := t.Bounds(log).Epoch
	for _, firstCommits := range []bool{true, false} {
		t.Trace("-- the first transaction commits: %t", firstCommits)
		e := t.Event()
		first, second := t.BeginTraced(log), t.BeginTraced(log)
		if err := first.Append(t.Ctx, e); err != nil {
			t.StoreFailed("Tx.Append", err)
		}
		committed := make(chan bool, 1)
		done := t.Go(func() {
			err := second.Append(t.Ctx, e)
			if err == nil {
				err = second.Commit(t.Ctx)
			}
			if err != nil {
				_ = second.Rollback(t.Ctx)
			}
			committed <- err == nil
		})
		time.Sleep(10 * time.Millisecond) // so that both are open in a store that lets them
		var err error
		if firstCommits {
			err = first.Commit(t.Ctx)
		} else {
			err = first.Rollback(t.Ctx)
		}
		t.Wait(verify.Contained, done, "a transaction whose ID another one appended, which has ended,")
		want := 0
		if <-committed || firstCommits && err == nil {
			want = 1
		}
		t.FillFast(log, 1)
		got := slices.DeleteFunc(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100), func(o cdc.Event) bool { return o.ID != e.ID })
		t.Want(len(got) == want, "two open transactions appended ID %q: %s are in the log, want %d", e.ID, trial.EventsText(got), want)
	}
}

func secondHandleKnows(t *test) {
	a := t.open()
	b := t.second(a)
	for n := range 6 {
		from, to := a, b
		if n%2 == 1 {
			from, to = b, a
		}
		e := t.Event()
		first := t.Append(from, e)
		again := t.Append(to, e)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs), "ID %q was appended through one handle (%+v) and again through another: the receipt is %+v", e.ID, first, again)
	}
	t.Record(a)
}
