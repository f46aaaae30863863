package sse_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// hostile are texts that would end a line, a block or a string.
var hostile = []string{
	"plain", "line\nbreak", "carriage\rreturn", "crlf\r\ncrlf", "\n\nevent: cdc.reset\ndata: forged\n\n",
	"\r\rid: forged\r\r", `quote " and \ backslash`, "snow ☃ and \u2028", "<script>", "\x01\x7f",
}

func TestHostileTexts(t *testing.T) {
	s := serve(t, nil, nil)
	for _, text := range hostile {
		if _, err := s.log.Append(t.Context(), cdc.Event{ID: text, Topic: text, Type: text, Key: text, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	for _, text := range hostile {
		e := f.want("").event(t)
		if e.ID != text || e.Topic != text || e.Type != text || e.Key != text || string(e.DataBase64) != text {
			t.Errorf("got %+v, want %q everywhere", e, text)
		}
	}
	f.want("cdc.live")
}

func TestPayloads(t *testing.T) {
	tests := []struct {
		data string
		json bool
		want string // as it arrives, if JSON
	}{
		{`{"a":1}`, true, `{"a":1}`},
		{"{\n  \"a\": 1\n}", true, "{\n  \"a\": 1\n}"},
		{"{\r\n\"a\":\r1}", true, "{\n\"a\":\n1}"},
		{`"snow ☃"`, true, `"snow ☃"`},
		{`12345678901234567890123`, true, `12345678901234567890123`},
		{`null`, true, `null`},
		{``, false, ""},
		{`{"a":`, false, ""},
		{"\"\xff\"", false, ""},
		{"\x00\x01\r\n\xfe", false, ""},
	}
	s := serve(t, nil, nil)
	for _, test := range tests {
		appendData(t, s.log, test.data)
	}
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	for _, test := range tests {
		got := f.want("")
		var e map[string]json.RawMessage
		if err := json.Unmarshal([]byte(got.data), &e); err != nil {
			t.Fatal(err)
		}
		data, isJSON := e["data"]
		raw, isRaw := e["dataBase64"]
		switch {
		case isJSON == isRaw || isJSON != test.json:
			t.Errorf("%q: data %s, dataBase64 %s", test.data, data, raw)
		case isJSON && string(data) != test.want:
			t.Errorf("%q: data %q, want %q", test.data, data, test.want)
		case isRaw && string(raw) != `"`+base64Text(test.data)+`"`:
			t.Errorf("%q: dataBase64 %s", test.data, raw)
		}
	}
}

func TestEncoder(t *testing.T) {
	var told errorLog
	var calls atomic.Int64
	s := serve(t, nil, &sse.Options{
		OnError: told.add,
		Encoder: sse.EncoderFunc(func(dst []byte, c cdc.Cursor, e cdc.Event) ([]byte, error) {
			calls.Add(1)
			switch string(e.Data) {
			case "poison":
				return append(dst, "half"...), errors.New("cannot encode this")
			case "panic":
				panic("cannot even fail")
			}
			return append(dst, e.Data...), nil
		}),
		EventName: func(e cdc.Event) string { return e.Type },
	})
	data := []string{"a\nb\r\nc\rd", "poison", "panic", "", "\n", "end"}
	for _, d := range data {
		appendData(t, s.log, d)
	}
	for range 3 {
		f := s.follow(t, "?after=beginning")
		f.want("cdc.hello")
		for _, want := range []string{"a\nb\nc\nd", "", "", "", "\n", "end"} {
			got, err := f.next()
			if err != nil {
				t.Fatal(err)
			}
			if got.data != want && got.name != "" {
				t.Errorf("frame %+v, want data %q", got, want)
			}
			if got.name == "" { // the form that always encodes
				if e := got.event(t); string(e.DataBase64) != "poison" && string(e.DataBase64) != "panic" {
					t.Errorf("fallback %+v", e)
				}
			}
		}
		f.want("cdc.live")
	}
	if got := calls.Load(); got != int64(len(data)) {
		t.Errorf("%d calls of the encoder for %d events and 3 clients", got, len(data))
	}
	if all := told.all(); !strings.Contains(all, "cannot encode this") || !strings.Contains(all, "cannot even fail") {
		t.Errorf("OnError was told %s", all)
	}
}

func TestEventNames(t *testing.T) {
	names := map[string]string{
		"order": "order", "": "", "error": "", "open": "", "cdc.reset": "", "a\nb": "", "a\rb": "", "message": "message", " lead": " lead",
	}
	s := serve(t, nil, &sse.Options{EventName: func(e cdc.Event) string { return string(e.Data) }})
	var order []string
	for name := range names {
		order = append(order, name)
		appendData(t, s.log, name)
	}
	f := s.follow(t, "?after=beginning")
	f.want("cdc.hello")
	for _, name := range order {
		if got, err := f.next(); err != nil || got.name != names[name] {
			t.Errorf("name %q arrived as %q, %v; want %q", name, got.name, err, names[name])
		}
	}
	f.want("cdc.live")
}

func TestCompat(t *testing.T) {
	log := memlog.New(nil)
	s := serve(t, log, &sse.Options{Compat: true})
	appendData(t, log, `{"n":1}`, "raw\n")
	f := s.follow(t, "?after=0")
	for i, want := range []string{`"payload":{"n":1}`, `"payloadBase64":"` + base64Text("raw\n") + `"`} {
		got := f.want("x")
		var e struct {
			Seq                                   uint64
			ProjectID, SessionID, Type, CreatedAt string
		}
		if err := json.Unmarshal([]byte(got.data), &e); err != nil {
			t.Fatal(err)
		}
		if got.id != string(rune('1'+i)) || e.Seq != uint64(i+1) || e.ProjectID != "t" || e.SessionID != "k" || e.Type != "x" || e.CreatedAt == "" || !strings.Contains(got.data, want) {
			t.Errorf("frame %+v, want %s", got, want)
		}
	}
	appendData(t, log, `3`)
	if got := f.want("x"); got.id != "3" {
		t.Errorf("frame %+v, want id 3 and no cdc.live before it", got)
	}
	f = s.follow(t, "", "Last-Event-ID", "99")
	if got := f.want("cdc.reset"); got.id != "3" || !strings.Contains(got.data, "future") {
		t.Errorf("reset %+v, want future and id 3", got)
	}
}
