package ssetest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func foreignCases() []testCase {
	return []testCase{
		newCase(verify.Contained, "SSE/ForeignMemory", "what an encoder returns is copied: no client gets bytes of another event, and no event of the log changes", foreignMemory),
	}
}

// Encode makes the data of an event's frame, as an encoder in an application
// does: it appends to dst and returns it, or returns the event's own data,
// longer perhaps, or a part of what it has appended.
type Encode func(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error)

// foreignForms are what an [Encode] may return, by the type of the event: each
// comes after each.
var foreignForms = strings.Fields(`appended appended data appended longer appended inside data data longer data inside
	longer longer inside inside appended`)

func encodeForeign(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
	switch e.Type {
	case "data":
		return e.Data, nil
	case "longer":
		return append(e.Data, "-and-more"...), nil
	case "inside":
		return append(append(dst, "xx"...), e.Data...)[2:], nil
	}
	return append(dst, e.Data...), nil
}

// neighbours is a log whose events have their data in one piece of memory, one
// behind the other, as those of a page that was read at once may have.
type neighbours struct {
	cdc.Log
	memory []byte
	size   int
}

// Read implements [cdc.Source].
func (l *neighbours) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	page, err := l.Log.Read(ctx, after, limit)
	for i, e := range page.Events {
		if at := bytes.Index(l.memory, e.Data); at >= 0 {
			page.Events[i].Data = l.memory[at : at+l.size]
		}
	}
	return page, err
}

func foreignMemory(t *test) {
	if t.h.Encoded == nil {
		t.Skip("set Harness.Encoded to the handler with an encoder of the application")
	}
	inner := t.open()
	log := &neighbours{Log: inner, size: len("event 00")}
	var all, public []string
	for i, form := range foreignForms {
		e := t.Event()
		e.Type, e.Data = form, fmt.Appendf(nil, "event %02d", i)
		t.Append(inner, e)
		log.memory = append(log.memory, e.Data...)
		text := string(e.Data)
		switch form {
		case "appended":
			public = append(public, text)
		case "longer":
			text += "-and-more"
		}
		all = append(all, text)
	}
	before := bytes.Clone(log.memory)
	s := t.serveWith(func(ctx context.Context, log cdc.Log) (http.Handler, error) {
		return t.h.Encoded(ctx, log, encodeForeign)
	}, log)
	for round := range 3 {
		t.encodedAs(s.get("?after=beginning", ""), fmt.Sprintf("round %d, all events", round+1), all)
		t.encodedAs(s.get("?after=beginning&type=appended", ""), fmt.Sprintf("round %d, some events", round+1), public)
	}
	t.Want(bytes.Equal(log.memory, before), "the events of the log have changed: their data were %q, and are now %q", before, log.memory)
}

// encodedAs compares the data of events with what the encoder has returned.
func (t *test) encodedAs(c *client, who string, want []string) {
	defer c.close()
	for i, text := range want {
		_, f := c.expect(fmt.Sprintf("event %d of %d", i+1, len(want)), frame.isEvent)
		if f.data != text {
			t.Fail(verify.Contained, "%s: the data of event %d are %.100q, the encoder returned %.100q: what foreign code returns may be memory of others, and is to be copied", who, i+1, f.data, text)
		}
	}
}
