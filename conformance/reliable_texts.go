package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func textCases() []Case {
	g := verify.Reliable
	return []Case{
		{Guarantee: g, Situation: "Texts", Sentence: "every text of an event is read as it was given: spaces, case, digits, line ends, accents, quotes, and metadata with many keys", run: exactTexts},
		{Guarantee: g, Situation: "Payloads", Sentence: "data that is JSON, or looks like something else, is read with the same bytes", run: exactPayloads},
		{Guarantee: g, Situation: "Sizes", Sentence: "a text or metadata of any size is read whole, or its append is refused; the largest event that is accepted is read and delivered", run: exactSizes},
		{Guarantee: g, Situation: "FarLimit", Sentence: "the highest limits there are read the whole log", run: farLimit},
		{Guarantee: g, Situation: "ReadContextEnds", Sentence: "the context of a read ends at the k-th look at it, for every k: it is an error, or the page is what it would have been", run: readContextEnds},
	}
}

// texts are values that some store or layer changes: by a collation, a type, a
// parser, a normalization, an escape.
func texts() []string {
	return []string{
		"plain", " lead", "trail ", "trail  ", "\ttabs\t", "two  spaces", "UPPER", "lower", "MiXed", "Content-Type", "x-y",
		"007", "1.0", "1e5", "+1", "-0", "12345678901234567890", "0x1F", "true", "null", "NULL", "nil", "undefined",
		"é", "e\u0301", "ﬁ", "Å", "ß", "İ", "日本語", "🎯", "👩‍👩‍👧", "\u200bzero", "\ufeffbom", "\u2028", "\u00a0nbsp", "\u202ertl",
		"a\nb", "a\r\nb", "a\rb", "\n", "end\n", "\x01\x1f\x7f", `"quoted"`, "it's", "`", `back\slash`, `\n`, `\u0041`, `\x41`,
		"%41", "100%", "a+b", "&amp;", "<b>&</b>", "a/b", "/a//b/", "a.b", "a..b", "a,b;c", "a:b", "a=b", "a|b", "a*", "a?", "a_",
		"cdc", "cdc-x", "CDC.x", "cdcx.y", "x.cdc.y", "{}", "[1]", "{\"a\":1}", "2020-01-01", "2020-01-01T00:00:00Z", "$1", "?", ":x", "--", "#", ";", "(select 1)",
		"aGVsbG8=", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
	}
}

// kept appends the events, each in a call of its own, and compares what is
// read and what a stream delivers with them.
func (t *test) kept(log handle, events []cdc.Event) {
	_, tapped := t.tapped(log)
	live := t.Follow("live", tapped, cdc.Beginning(), nil)
	live.AwaitFirst()
	start := t.Bounds(log).Head
	began := time.Now().Add(-2 * time.Second)
	for i := range events {
		time.Sleep(1_234_567)
		events[i].Seq = t.Append(log, events[i].Clone()).Seqs[0]
	}
	ended := time.Now().Add(2 * time.Second)
	live.AwaitEvent(events[len(events)-1].Seq)
	epoch := t.Bounds(log).Epoch
	t.sameEvents("Read", t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: start}, 50), events, began, ended)
	t.sameEvents("the stream", live.Events(), events, began, ended)
}

func exactTexts(t *test) {
	var events []cdc.Event
	everything := map[string]string{}
	for i, text := range texts() {
		everything[text] = fmt.Sprint(i)
		everything[fmt.Sprint(i)] = text
		events = append(
			events,
			cdc.Event{ID: text, Topic: text, Type: text, Key: text, Meta: map[string]string{text: text}},
			cdc.Event{Key: text, Meta: map[string]string{"": text, "empty": ""}},
		)
	}
	everything["A"], everything["a"], everything["a "] = "upper", "lower", "space"
	events = append(events, cdc.Event{Type: "metadata of every kind", Meta: everything})
	t.kept(t.open(), events)
}

func exactPayloads(t *test) {
	var events []cdc.Event
	for _, data := range []string{
		`{"b":1,"a":2}`, ` { "a" : 1 } `, "{\n\t\"a\": 1\n}\n", `{"a":1,"a":2}`, `{"a":1.0}`, `{"a":1e400}`, `12345678901234567890`, `-0`, `1.10`,
		`{"a":"\u00e9"}`, `{"a":"é"}`, `"<>&"`, `"\/"`, `null`, `true`, `{}`, `[]`, `""`, `{"a":null}`, "{\"a\":\"\u2028\"}", `{"a":`,
		" ", "\n", "\r\n", "trailing\n", "trailing ", "trailing\x00", "trailing\x00\x00", "\x00lead", "\x00", "\ufeff{}", "data: x\n\nid: 1\n\n",
		"aGVsbG8=", "\x1f\x8b\x08\x00", `\x41`, `\\`, "%00", "\\000", "\xc3\x28", "\xed\xa0\x80", "a\rb\r\nc\n", "event: cdc.reset",
	} {
		events = append(events, cdc.Event{Type: "payload", Data: []byte(data)})
	}
	t.kept(t.open(), events)
}

func exactSizes(t *test) {
	log := t.open()
	start := t.Bounds(log)
	s := t.Follow("live", log, cdc.Beginning(), nil)
	s.AwaitFirst()
	var want []cdc.Event
	for _, n := range []int{64, 128, 192, 256, 512, 768, 1024, 3073, 4096, 8192, 1 << 16, 1<<16 + 1, 300_000} {
		for _, set := range []func(*cdc.Event, string){
			func(e *cdc.Event, text string) { e.ID = text },
			func(e *cdc.Event, text string) { e.Topic = text },
			func(e *cdc.Event, text string) { e.Type = text },
			func(e *cdc.Event, text string) { e.Key = text },
			func(e *cdc.Event, text string) { e.Meta = map[string]string{"long": text, text[:64]: "key"} },
		} {
			e := t.Event()
			set(&e, strings.Repeat("ü-", n/3+1)[:n/3*3]+strings.Repeat("x", n%3))
			r, err := t.TryAppend(log, e)
			for n := 0; errors.Is(err, cdc.ErrUnknownOutcome) && n < looksLimit; n++ {
				r, err = t.TryAppend(log, e) // it may be there: its ID is asked for
			}
			if err == nil {
				e.Seq = r.Seqs[0]
				want = append(want, e)
			}
		}
	}
	for _, fill := range []func(*cdc.Event, int){
		func(e *cdc.Event, n int) { e.Data = bytes.Repeat([]byte{'x', 0xff}, n)[:n] },
		func(e *cdc.Event, n int) { e.Meta = map[string]string{"k": strings.Repeat("m", n-1)} },
		func(e *cdc.Event, n int) { e.Data = make([]byte, n) },
	} {
		e := cdc.Event{Type: "largest", ID: fmt.Sprintf("largest %d", len(want))}
		fill(&e, cdc.DefaultMaxEventBytes-e.Size())
		r, err := t.TryAppend(log, e)
		t.Want(err == nil, "an event of %d bytes, the largest that a log accepts, was refused: %v", e.Size(), err)
		e.Seq = r.Seqs[0]
		want = append(want, e)
	}
	s.AwaitEvent(want[len(want)-1].Seq)
	for _, limit := range []int{1, 1000} {
		t.sameContents("Read", t.ReadAll(log, cdc.Cursor{Epoch: start.Epoch, Seq: start.Head}, limit), want)
	}
	t.sameContents("the stream", s.Events(), want)
}

// sameContents is sameEvents without the times.
func (t *test) sameContents(who string, got, want []cdc.Event) {
	t.SameSeqs(verify.Reliable, trial.SeqsOf(got), trial.SeqsOf(want), "%s gave %d events, want %d", who, len(got), len(want))
	for i, e := range got {
		w := want[i]
		t.Want(e.ID == w.ID && e.Topic == w.Topic && e.Type == w.Type && e.Key == w.Key && maps.Equal(e.Meta, w.Meta) && bytes.Equal(e.Data, w.Data),
			"%s gave event %d with other contents: %d bytes of ID, %d of topic, %d of type, %d of key, %d of data; appended were %d, %d, %d, %d, %d",
			who, e.Seq, len(e.ID), len(e.Topic), len(e.Type), len(e.Key), len(e.Data), len(w.ID), len(w.Topic), len(w.Type), len(w.Key), len(w.Data))
	}
}

func farLimit(t *test) {
	log := t.open()
	seqs := t.Fill(log, 7)
	epoch := t.Bounds(log).Epoch
	for _, limit := range []int{1 << 16, math.MaxInt32 - 1, math.MaxInt32, math.MaxInt - 1, math.MaxInt} {
		for from := range 3 {
			after := cdc.Cursor{Epoch: epoch}
			if from > 0 {
				after.Seq = seqs[from-1]
			}
			t.SameSeqs(verify.Reliable, trial.SeqsOf(t.ReadAll(log, after, limit)), seqs[from:], "read after %d with the limit %d", after.Seq, limit)
			t.SameSeqs(verify.Reliable, t.filtered(log, after, limit, everyType), seqs[from:], "read with a filter after %d with the limit %d", after.Seq, limit)
		}
	}
}

func readContextEnds(t *test) {
	log := t.open()
	seqs := t.Fill(log, 9)
	b := t.Bounds(log)
	for _, limit := range []int{3, 100} {
		for _, f := range []cdc.Filter{{}, everyType} {
			for k := 1; k <= looksLimit; k++ {
				ctx := t.EndsAtLook(k)
				page, err := cdc.ReadFiltered(ctx, log.Log, cdc.Cursor{Epoch: b.Epoch}, limit, f)
				t.Trace("Read whose context ends at look %d, limit %d → %s", k, limit, trial.PageText(page, err))
				t.Checked()
				if _, reset := errors.AsType[*cdc.ResetError](err); reset {
					t.Fail(verify.Reliable, "the context of a Read ended, and it said that the cursor cannot be resumed: %v", err)
				}
				n := len(page.Events)
				covered := slices.IndexFunc(seqs, func(seq uint64) bool { return seq > page.Next })
				if covered < 0 {
					covered = len(seqs)
				}
				t.Want(err != nil || n > 0 && n == covered, "the context of a Read ended at look %d, and it returned %s and no error: that says there is nothing else up to %d", k, trial.PageText(page, err), page.Next)
				if !ctx.Reached() {
					break
				}
			}
		}
	}
	for k := 1; k <= looksLimit; k++ {
		ctx := t.EndsAtLook(k)
		got, err := log.Bounds(ctx)
		t.Trace("Bounds whose context ends at look %d → %+v %s", k, got, trial.ErrText(err))
		t.Want(err != nil || got == b, "the context of a Bounds ended at look %d, and it returned %+v and no error: the bounds are %+v", k, got, b)
		if !ctx.Reached() {
			break
		}
	}
}
