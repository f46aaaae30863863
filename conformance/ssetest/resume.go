package ssetest

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func resumeCases() []testCase {
	g := verify.Resumable
	return []testCase{
		newCase(g, "SSE/EveryByte", "a client is cut after every byte of a recorded run and resumes by its last event id: it ends with exactly the log", everyByte),
		newCase(g, "SSE/LatestEveryByte", "the same for a start at the latest event, with events committed during the cut: nothing after the hello is lost", latestCut),
		newCase(g, "SSE/HeaderWins", "Last-Event-ID wins over the URL, which a reconnecting browser repeats, and the event that it names does not come again", headerWins),
		newCase(g, "SSE/CursorForms", "?after= takes a cursor with and without tag, a number, latest and beginning; anything else is 400", cursorForms),
		newCase(g, "SSE/Resets", "a cursor that cannot be resumed is a reset whose id can, and the stream goes on", resets),
		newCase(g, "SSE/Truncated", "a cursor below the floor is a reset, not silence", truncated),
	}
}

// everyByte reads one run to its end, and then looks at each of its bytes:
// what a client that was cut there has, and what it gets when it comes back.
func everyByte(t *test) {
	log := t.open()
	want := t.appendAll(log, 4)
	odd := t.Event()
	odd.Data = []byte("{\"three\":\n1,\r\n\"lines\": 2}")
	want = append(want, appended{t.Append(log, odd).Seqs[0], odd.Data})
	s := t.serve(log)
	c := s.get("?after=beginning", "")
	c.expect("cdc.live", named("live"))
	want = append(want, t.appendAll(log, 3)...)
	c.through(lastAppended(want))
	raw := c.raw[:c.used]
	c.close()
	last := lastAppended(t.grow(log, &want))
	rests := map[string][]received{} // what follows an id
	for cut := range len(raw) + 1 {
		frames, id := framesOf(raw[:cut])
		rest, known := rests[id]
		if !known {
			again := s.get("?after=beginning", id)
			rest = again.through(last)
			again.close()
			rests[id] = rest
		}
		var got []received
		for _, f := range frames {
			if f.isEvent() {
				got = append(got, t.receive(f))
			}
		}
		t.sameStream(verify.Resumable, fmt.Sprintf("cut after byte %d, resumed with Last-Event-ID %q", cut, id), append(got, rest...), want)
	}
	t.Want(len(rests) >= len(want), "a run of %d events offered only %d places to resume from", len(want), len(rests))
}

// grow appends one more event.
func (t *test) grow(log cdc.Log, all *[]appended) []appended {
	*all = append(*all, t.appendAll(log, 1)...)
	return *all
}

func latestCut(t *test) {
	log := t.open()
	t.Fill(log, 5)
	s := t.serve(log)
	for events := range 3 {
		c := s.get("", "")
		before, hello := c.expect("cdc.hello", named("hello"))
		t.Want(len(before) == 0, "%d frames came before cdc.hello", len(before))
		afterHello := c.used
		want := t.appendAll(log, 1+events)
		c.through(lastAppended(want))
		raw := c.raw[:c.used]
		c.close()
		last := lastAppended(t.grow(log, &want))
		rests := map[string][]received{}
		for cut := afterHello; cut <= len(raw); cut++ {
			frames, id := framesOf(raw[:cut])
			if id == "" {
				t.Fail(verify.Resumable, "after cdc.hello (id %q) a client has no last event id: a cut here loses what comes until it is back", hello.id)
			}
			rest, known := rests[id]
			if !known {
				again := s.get("", id)
				rest = again.through(last)
				again.close()
				rests[id] = rest
			}
			var got []received
			for _, f := range frames {
				if f.isEvent() {
					got = append(got, t.receive(f))
				}
			}
			t.sameStream(verify.Resumable, fmt.Sprintf("latest, cut after byte %d, resumed with %q", cut, id), append(got, rest...), want)
		}
	}
}

func headerWins(t *test) {
	log := t.open()
	want := t.appendAll(log, 8)
	epoch := t.Bounds(log).Epoch
	s := t.serve(log)
	for _, query := range []string{"", "?after=beginning", "?after=latest", fmt.Sprintf("?after=%d", want[6].seq)} {
		for n := range want[:7] {
			id := cdc.Cursor{Epoch: epoch, Seq: want[n].seq}.String()
			c := s.get(query, id)
			got := c.through(lastAppended(want))
			c.close()
			t.sameStream(verify.Resumable, fmt.Sprintf("GET /%s with Last-Event-ID %s", query, id), got, want[n+1:])
		}
	}
}

func cursorForms(t *test) {
	log := t.open()
	want := t.appendAll(log, 6)
	epoch := t.Bounds(log).Epoch
	third := t.ReadAll(log, cdc.Cursor{Epoch: epoch, Seq: want[1].seq}, 1)[0]
	s := t.serve(log)
	for after, first := range map[string]int{
		third.Cursor(epoch).String():                      3,
		cdc.Cursor{Epoch: epoch, Seq: third.Seq}.String(): 3,
		fmt.Sprint(third.Seq):                             3,
		"0":                                               0,
		"beginning":                                       0,
		cdc.Cursor{Epoch: epoch}.String():                 0,
		cdc.Cursor{Epoch: epoch, Seq: lastAppended(want)}.String(): 6,
		"latest": 6,
	} {
		c := s.get("?after="+url.QueryEscape(after), "")
		before, _ := c.expect("cdc.live", named("live"))
		var got []received
		for _, f := range before {
			t.wellFormed(f)
			if named("reset")(f) {
				t.Fail(verify.Resumable, "?after=%s was reset: %s", after, f.data)
			}
			if f.isEvent() {
				got = append(got, t.receive(f))
			}
		}
		c.close()
		t.sameStream(verify.Resumable, "?after="+after, got, want[first:])
	}
	for _, after := range []string{"nonsense!", "1.2.3.4", "-1", "00", "e.x", strings.Repeat("9", 200)} {
		c := s.get("?after="+url.QueryEscape(after), "")
		t.Want(c.status == 400, "?after=%s, which nobody can have been given, has status %d, want 400", after, c.status)
		c.close()
	}
}

func resets(t *test) {
	log := t.open()
	seqs := t.Fill(log, 5)
	epoch := t.Bounds(log).Epoch
	s := t.serve(log)
	for reason, id := range map[cdc.Reason]string{
		cdc.ReasonForeign:   "another-epoch.3",
		cdc.ReasonFuture:    cdc.Cursor{Epoch: epoch, Seq: seqs[4] + 1<<32}.String(),
		cdc.ReasonDiverged:  cdc.Cursor{Epoch: epoch, Seq: seqs[2], Tag: "AAAAAAAAAAA"}.String(),
		cdc.ReasonMalformed: "this is no cursor",
	} {
		t.resetGoesOn(s, log, reason, id)
	}
}

func truncated(t *test) {
	log := t.open()
	seqs := t.Fill(log, 6)
	epoch := t.Bounds(log).Epoch
	t.trim(log, seqs[3])
	t.resetGoesOn(t.serve(log), log, cdc.ReasonTruncated, cdc.Cursor{Epoch: epoch, Seq: seqs[0]}.String())
}

// resetGoesOn follows from the id: the first thing after the hello is a reset
// for the reason, whose id can be resumed from, on this response and on another.
func (t *test) resetGoesOn(s *server, log cdc.Log, reason cdc.Reason, id string) {
	c := s.get("", id)
	t.Want(c.status == 200, "a cursor that is %s has status %d: a browser gives up for good on anything but 200", reason, c.status)
	before, reset := c.expect("cdc.reset for a cursor that is "+string(reason), func(f frame) bool { return named("reset")(f) || f.isEvent() })
	if !named("reset")(reset) || !strings.Contains(reset.data, `"`+string(reason)+`"`) {
		t.Fail(verify.Resumable, "the cursor %q is %s, but the client got %s", id, reason, reset)
	}
	for _, f := range append(before, reset) {
		t.wellFormed(f)
	}
	want := t.appendAll(log, 1)
	got := c.through(want[0].seq)
	c.close()
	t.sameStream(verify.Resumable, "after the reset", got[len(got)-1:], want)
	again := s.get("", reset.id)
	seen, live := again.expect("cdc.live or another reset", func(f frame) bool { return named("live")(f) || named("reset")(f) })
	again.close()
	if named("reset")(live) {
		t.Fail(verify.Resumable, "the id %q of a reset is reset again: a client that stored it never gets on", reset.id)
	}
	var events []received
	for _, f := range seen {
		if f.isEvent() {
			events = append(events, t.receive(f))
		}
	}
	if len(events) == 0 || events[len(events)-1].cursor.Seq != want[0].seq {
		t.Fail(verify.Resumable, "resumed from the id %q of a reset, the client did not get event %d, which followed it", reset.id, want[0].seq)
	}
}
