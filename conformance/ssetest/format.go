package ssetest

import (
	"bytes"
	"fmt"

	"github.com/gapless-go/gapless/cdc/verify"
)

func frameCases() []testCase {
	return []testCase{
		newCase(verify.Bookmark, "SSE/EveryFrameHasID", "every block has data and an id that can be resumed from, hello and control frames included", everyID),
		newCase(verify.Bookmark, "SSE/Heartbeat", "a heartbeat is one colon and one line end, or a checkpoint with an id", heartbeat),
	}
}

func everyID(t *test) {
	log := t.open()
	want := t.appendAll(log, 5)
	s := t.serve(log)
	c := s.get("?after=beginning", "")
	before, live := c.expect("cdc.live", named("live"))
	want = append(want, t.appendAll(log, 3)...)
	after := c.through(lastAppended(want))
	frames, _ := framesOf(c.raw[:c.used])
	t.Want(len(frames) >= len(before)+1+len(after), "%d frames were parsed one by one, %d at once", len(before)+1+len(after), len(frames))
	t.wellFormed(live)
	for _, f := range frames {
		t.wellFormed(f)
	}
	for _, f := range frames {
		if f.comment {
			continue
		}
		again := s.get("?after=beginning", f.id)
		seen, _ := again.expect("cdc.live", named("live"))
		for _, g := range seen {
			if named("reset")(g) {
				t.Fail(verify.Bookmark, "the id %q of %s cannot be resumed from: %s", f.id, f, g.data)
			}
		}
		again.close()
	}
}

func heartbeat(t *test) {
	if t.h.Heartbeat == 0 {
		t.Skip("set Harness.Heartbeat to that of the handler, and make it short")
	}
	log := t.open()
	t.Fill(log, 2)
	s := t.serve(log)
	c := s.get("", "")
	c.expect("cdc.live", named("live"))
	for n := range 3 {
		start := c.used
		f, err := c.next()
		if err != nil {
			t.Fail(verify.Bookmark, "no heartbeat came within %v, it is set to %v: %v", t.Settings.Patience, t.h.Heartbeat, err)
		}
		if !f.comment {
			t.wellFormed(f)
			continue
		}
		line := c.raw[start:c.used]
		t.Want(bytes.Equal(line, []byte(":\n")), "heartbeat %d is %q: anything but one colon and one line end makes some client fire an empty message", n+1, line)
		if rest := c.raw[c.used:]; len(rest) > 0 && rest[0] == '\n' {
			t.Fail(verify.Bookmark, "an empty line follows heartbeat %d: some client fires an empty message", n+1)
		}
	}
	seq := t.Append(log, t.Event()).Seqs[0]
	t.Want(len(c.through(seq)) == 1, "after heartbeats %s", fmt.Sprintf("event %d came with others", seq))
}
