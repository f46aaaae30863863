package ssetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func streamCases() []testCase {
	return []testCase{
		newCase(verify.Reliable, "SSE/Stream", "a client from the beginning gets hello, every event, live, and what is committed then", stream),
		newCase(verify.Reliable, "SSE/Payloads", "payloads with line ends, bytes that are no text, and what looks like frames arrive as they were appended", payloads),
		newCase(verify.Reliable, "SSE/Large", "events larger than any buffer on the way arrive whole", large),
		newCase(verify.Live, "SSE/LoneCommit", "one event arrives with no other after it", lone),
		newCase(verify.Handoff, "SSE/Joining", "clients that join while events are committed get each event from their start once", joining),
		newCase(verify.Bookmark, "SSE/Filter", "a filtered stream resumed from any of its ids gives the matching events that follow", filter),
		newCase(verify.Bounded, "SSE/NeverReads", "a client that never reads is gone after the write timeout, and delays nobody", neverReads),
		newCase(verify.Contained, "SSE/Disconnect", "the handler of a client that leaves returns", disconnect),
	}
}

// appended is an event that was appended, for comparison.
type appended struct {
	seq     uint64
	payload []byte
}

func (t *test) appendAll(log cdc.Log, n int) []appended {
	var all []appended
	for range n {
		e := t.Event()
		all = append(all, appended{t.Append(log, e).Seqs[0], e.Data})
	}
	return all
}

// sameStream compares what a client got with what was appended after its start.
func (t *test) sameStream(g verify.Guarantee, who string, got []received, want []appended) {
	t.Checked()
	seqs := func(n int, at func(int) uint64) (out []uint64) {
		for i := range n {
			out = append(out, at(i))
		}
		return out
	}
	gotSeqs := seqs(len(got), func(i int) uint64 { return got[i].cursor.Seq })
	wantSeqs := seqs(len(want), func(i int) uint64 { return want[i].seq })
	if !slices.Equal(gotSeqs, wantSeqs) {
		t.FailWith(&verify.Violation{Guarantee: g, Stream: who, Problem: "the client has other events than the log", Expected: wantSeqs, Seen: gotSeqs})
	}
	for i, e := range got {
		if !samePayload(e.payload, want[i].payload) {
			t.Fail(verify.Reliable, "%s: event %d has the payload %.200q, appended was %.200q", who, want[i].seq, e.payload, want[i].payload)
		}
	}
}

func stream(t *test) {
	log := t.open()
	want := t.appendAll(log, 25)
	s := t.serve(log)
	c := s.get("?after=beginning", "")
	t.Want(c.status == 200 && strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream"), "the response has status %d and type %q", c.status, c.header.Get("Content-Type"))
	first, err := c.next()
	if err != nil || !named("hello")(first) || first.retry == "" {
		t.Fail(verify.Reliable, "the first frame is %s with retry %q (%v), want cdc.hello with a retry", first, first.retry, err)
	}
	got := c.through(lastAppended(want))
	before, _ := c.expect("cdc.live", named("live"))
	t.Want(!slices.ContainsFunc(before, frame.isEvent), "an event came between the last of the replay and cdc.live")
	more := t.appendAll(log, 5)
	got = append(got, c.through(lastAppended(more))...)
	t.sameStream(verify.Reliable, "from the beginning", got, append(want, more...))
}

func lastAppended(all []appended) uint64 { return all[len(all)-1].seq }

func payloads(t *test) {
	log := t.open()
	var want []appended
	for _, payload := range []string{
		`{"a":1}`, "{\"lines\":\n[1,\n2]\n}", "{\"cr\":\r1,\r\"crlf\":\r\n2}", "\r\r\n\n", "", "null", `"text"`,
		"x\n\nevent: cdc.reset\nid: 1\ndata: {}\n\n", "x\r\revent: cdc.reset\rid: 1\rdata: {}\r\r", ":\n:\n", "data: \n", "\xff\xfe\x00", "id: 5",
		"\ufeff{}", "{\"u\":\"\u2028\u2029\"}", `{"big":12345678901234567890}`,
	} {
		e := t.Event()
		e.Type = "odd"
		e.Data = []byte(payload)
		want = append(want, appended{t.Append(log, e).Seqs[0], e.Data})
	}
	for _, name := range []string{"a\nevent: cdc.reset\ndata: {}\n\n", "a\revent: cdc.reset\rdata: {}\r\r", "open", "error", " cdc.reset", "ü"} {
		e := t.Event()
		e.Type, e.Key, e.Topic = name, name, name
		want = append(want, appended{t.Append(log, e).Seqs[0], e.Data})
	}
	s := t.serve(log)
	c := s.get("?after=beginning", "")
	var got []received
	for len(got) < len(want) {
		f, err := c.next()
		if err != nil {
			t.Fail(verify.Reliable, "%d of %d events came: %v", len(got), len(want), err)
		}
		t.wellFormed(f)
		switch {
		case f.isEvent():
			got = append(got, t.receive(f))
		case named("reset")(f), named("reconnect")(f):
			t.Fail(verify.Contained, "an event became the control frame %s: its text was written into the stream as it is", f)
		}
	}
	t.sameStream(verify.Reliable, "odd payloads", got, want)
}

func large(t *test) {
	log := t.open()
	s := t.serve(log)
	live := s.get("", "")
	live.expect("cdc.live", named("live"))
	var want []appended
	for _, n := range []int{4095, 4096, 32 << 10, 64<<10 - 1, 64 << 10, 200_000, cdc.DefaultMaxEventBytes - 200} {
		e := t.Event()
		e.Data = fmt.Appendf(nil, `{"text":"%s"}`, bytes.Repeat([]byte("z"), n-11))
		want = append(want, appended{t.Append(log, e).Seqs[0], e.Data})
	}
	t.sameStream(verify.Reliable, "live, large events", live.through(lastAppended(want)), want)
	t.sameStream(verify.Reliable, "replayed, large events", s.get("?after=beginning", "").through(lastAppended(want)), want)
}

func lone(t *test) {
	log := t.open()
	s := t.serve(log)
	c := s.get("", "")
	c.expect("cdc.hello", named("hello"))
	for range 5 {
		want := t.appendAll(log, 1)
		t.sameStream(verify.Live, "waiting", c.through(want[0].seq), want)
	}
}

func joining(t *test) {
	log := t.open()
	s := t.serve(log)
	done := t.Go(func() { t.Write(log, 2, 40) })
	type joined struct {
		c    *client
		from cdc.Cursor
	}
	var all []joined
	for n := range 6 {
		c := s.get([]string{"", "?after=beginning"}[n%2], "")
		_, hello := c.expect("cdc.hello", named("hello"))
		from, err := cdc.ParseCursor(hello.id)
		if err != nil {
			t.Fail(verify.Bookmark, "cdc.hello has the id %q: a cut right after it loses what came since", hello.id)
		}
		all = append(all, joined{c, from})
	}
	t.Wait(verify.Bounded, done, "the appends")
	marker := t.Append(log, t.Event()).Seqs[0]
	for n, j := range all {
		stream := t.History.Stream(fmt.Sprintf("client %d", n+1))
		stream.Begin(j.from)
		for _, e := range j.c.through(marker) {
			stream.Add(e.cursor.Seq, verify.Record{Seq: e.cursor.Seq})
		}
	}
	t.recordSeqs(log)
}

// recordSeqs reads the log into the history without IDs and contents: the
// clients have none.
func (t *test) recordSeqs(log cdc.Source) {
	appends := t.History.Appends
	t.History = &verify.History{Streams: t.History.Streams}
	for _, a := range appends {
		for i := range a.Records {
			a.Records[i].ID = ""
		}
		t.History.Append(a)
	}
	b := t.Bounds(log)
	s := t.History.Log("the log")
	s.Begin(cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor})
	for _, e := range t.ReadAll(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Floor}, 1000) {
		s.Add(e.Seq, verify.Record{Seq: e.Seq})
	}
}

func filter(t *test) {
	log := t.open()
	t.Fill(log, 24)
	epoch := t.Bounds(log).Epoch
	f := cdc.Filter{Types: []string{"type1", "type2"}}
	all := f.Select(t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 100))
	s := t.serve(log)
	c := s.get("?after=beginning&type=type1&type=type2", "")
	before, live := c.expect("cdc.live", named("live"))
	ids := []string{live.id}
	var got []uint64
	for _, f := range before {
		ids = append(ids, f.id)
		if f.isEvent() {
			got = append(got, t.receive(f).cursor.Seq)
		}
	}
	t.Want(slices.Equal(got, trial.SeqsOf(all)), "the filter selects %v, the client got %v", trial.SeqsOf(all), got)
	for _, id := range ids {
		if id == "" {
			continue
		}
		at, err := cdc.ParseCursor(id)
		if err != nil {
			t.Fail(verify.Bookmark, "the id %q is no cursor", id)
		}
		again := s.get("?after=beginning&type=type1&type=type2", id)
		before, _ := again.expect("cdc.live", named("live"))
		var rest []uint64
		for _, f := range before {
			if f.isEvent() {
				rest = append(rest, t.receive(f).cursor.Seq)
			}
		}
		again.close()
		want := trial.SeqsOf(all[trial.FirstAbove(all, at.Seq):])
		t.Want(slices.Equal(rest, want), "resumed after %s the client got %v, want %v", id, rest, want)
	}
}

func neverReads(t *test) {
	if t.h.WriteTimeout == 0 {
		t.Skip("set Harness.WriteTimeout to that of the handler, and make it short")
	}
	log := t.open()
	s := t.serve(log)
	good := s.get("", "")
	good.expect("cdc.live", named("live"))
	dead := s.get("", "")
	if tcp, ok := dead.conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	dead.expect("cdc.live", named("live"))
	var want []appended
	for range 40 {
		e := t.Event()
		e.Data = fmt.Appendf(nil, `"%s"`, bytes.Repeat([]byte("y"), 300_000))
		want = append(want, appended{t.Append(log, e).Seqs[0], e.Data})
		t.sameStream(verify.Bounded, "beside a client that never reads", good.through(lastAppended(want)), want[len(want)-1:])
	}
	limit := time.Now().Add(t.Settings.Patience + 2*t.h.WriteTimeout)
	for s.open.Load() > 1 {
		if time.Now().After(limit) {
			t.Fail(verify.Bounded, "the handler of a client that never reads is still there, long after the write timeout of %v", t.h.WriteTimeout)
		}
		time.Sleep(time.Millisecond)
	}
}

func disconnect(t *test) {
	log := t.open()
	t.Fill(log, 3)
	s := t.serve(log)
	var clients []*client
	for n := range 6 {
		c := s.get([]string{"", "?after=beginning"}[n%2], "")
		c.expect("cdc.hello", named("hello"))
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.close()
	}
	t.Eventually(verify.Contained, func() bool { return s.open.Load() == 0 }, "the handlers of six clients that left return")
	c := s.get("", "")
	c.expect("cdc.live", named("live"))
	c.close()
	if _, err := c.body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Trace("read after close: %v", err)
	}
}
