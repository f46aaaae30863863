package sse_test

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// mixed returns memory that is not its own for some events, as an Encoder in
// an application does without a thought, and appends to dst for others.
func mixed(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
	switch e.Type {
	case "data":
		return e.Data, nil
	case "longer":
		return append(e.Data, "-and-more"...), nil
	case "inside":
		return append(dst, "xx"+string(e.Data)...)[2:], nil
	}
	return append(dst, e.Data...), nil
}

// What an Encoder returns stays that of whoever made it: the log's events do
// not change, and no client gets bytes of an event that its filter hides.
func TestEncoderThatReturnsForeignMemory(t *testing.T) {
	log := memlog.New(nil)
	store := []byte("secret-of-one") // events of a backend may lie side by side in one piece of memory
	var want [][]byte
	for i := range 40 {
		e := cdc.Event{Type: []string{"data", "append", "longer", "inside"}[i%4], Topic: "secret", Data: bytes.Clone(store)}
		if e.Type == "append" {
			e.Topic, e.Data = "public", []byte("public")
		}
		want = append(want, bytes.Clone(e.Data))
		if _, err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, log, &sse.Options{Encoder: sse.EncoderFunc(mixed)})
	all, public := s.follow(t, "?after=beginning"), s.follow(t, "?after=beginning&topic=public")
	all.want("cdc.hello")
	public.want("cdc.hello")
	for i, data := range want {
		text := string(data)
		if i%4 == 2 {
			text += "-and-more"
		}
		if got := all.want("").data; got != text {
			t.Fatalf("event %d arrived as %q, want %q", i+1, got, text)
		}
		if i%4 == 1 {
			if got := public.want("").data; got != "public" {
				t.Fatalf("a client of public events was sent %q", got)
			}
		}
	}
	page := readAll(t, log)
	for i, e := range page.Events {
		if !bytes.Equal(e.Data, want[i]) {
			t.Errorf("event %d of the log is now %q, was %q", e.Seq, e.Data, want[i])
		}
	}
}

// sideBySide has events whose data are neighbours in one piece of memory, as
// those of a page that was read at once may be.
type sideBySide struct {
	*memlog.Log
	memory []byte
}

func (l *sideBySide) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	page, err := l.Log.Read(ctx, after, limit)
	for i := range page.Events {
		page.Events[i].Data = l.memory[4*i : 4*i+4]
	}
	return page, err
}

// An Encoder that appends to the data, or takes an entry out of the metadata,
// changes neither a neighbour nor what other clients get.
func TestEncoderThatWritesToTheEvent(t *testing.T) {
	meta := map[string]string{"by": "ada"}
	log := &sideBySide{Log: memlog.New(nil), memory: []byte("abcdefgh")}
	for range 2 {
		if _, err := log.Append(t.Context(), cdc.Event{Data: []byte("four"), Meta: meta}); err != nil {
			t.Fatal(err)
		}
	}
	encoder := sse.EncoderFunc(func(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
		delete(e.Meta, "by")
		return append(e.Data, '!', '!'), nil
	})
	s := serveLog(t, log, &sse.Options{Encoder: encoder, EventName: func(e cdc.Event) string {
		e.Meta["by"] = "eve"
		_ = append(e.Data, "????"...)
		return ""
	}})
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	for _, want := range []string{"abcd!!", "efgh!!"} {
		if got := f.want("").data; got != want {
			t.Errorf("data %q, want %q", got, want)
		}
	}
	page := readAll(t, log)
	for _, e := range page.Events {
		if !maps.Equal(e.Meta, meta) || strings.ContainsAny(string(log.memory), "!?") {
			t.Errorf("event %d of the log is now %q with %v", e.Seq, log.memory, e.Meta)
		}
	}
}

func readAll(t *testing.T, log cdc.Log) cdc.Page {
	t.Helper()
	b, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := log.Read(t.Context(), cdc.Cursor{Epoch: b.Epoch}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return page
}
