package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

type problem struct {
	Type, Title, Detail string
	Status, Line        int
}

func TestEveryRefusalIsAProblemThatSaysWhatToDo(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	for _, c := range refusals() {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(t, c.method, c.path, c.contentType, c.body)
			if a.status != c.status {
				t.Errorf("got status %d %s, want %d", a.status, a.body, c.status)
			}
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("got Content-Type %q, want application/problem+json", got)
			}
			if c.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			p := decode[problem](t, a.body)
			if p.Status != c.status || p.Line != c.line || p.Title == "" || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("got %+v, want status %d, line %d, a title, and a detail with %q", p, c.status, c.line, c.detail)
			}
		})
	}
	if got := s.health(t); got.Head != 0 || got.Status != "ok" || got.Epoch == "" {
		t.Errorf("after nothing but refusals: got %+v, want an empty log", got)
	}
}

// refusal is a request and the problem that answers it.
type refusal struct {
	name, method, path, contentType, body string
	status, line                          int
	detail                                string // part of it
}

func refusals() []refusal {
	big := strings.Repeat("x", 1<<20)
	return []refusal{
		{name: "form", method: "POST", path: "/events", contentType: "application/x-www-form-urlencoded", body: "{}", status: 415, detail: "send application/json"},
		{name: "no type", method: "POST", path: "/events", body: "{}", status: 415, detail: "application/x-ndjson"},
		{name: "odd type", method: "POST", path: "/events", contentType: ";;", body: "{}", status: 415, detail: "send application/json"},
		{name: "empty", method: "POST", path: "/events", contentType: jsonType, status: 400, detail: "empty"},
		{name: "cut", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"a"`, status: 400, detail: "ends in the middle"},
		{name: "not an object", method: "POST", path: "/events", contentType: jsonType, body: `[1]`, status: 400, detail: "send an object like"},
		{name: "null", method: "POST", path: "/events", contentType: jsonType, body: `null`, status: 400, detail: "neither a type nor data"},
		{name: "nothing in it", method: "POST", path: "/events", contentType: jsonType, body: `{"topic":"a"}`, status: 400, detail: "neither a type nor data"},
		{name: "unknown field", method: "POST", path: "/events", contentType: jsonType, body: `{"typ":"a"}`, status: 400, detail: `"typ"`},
		{name: "wrong kind", method: "POST", path: "/events", contentType: jsonType, body: `{"type":7}`, status: 400, detail: "send an object like"},
		{name: "two events", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"a"}{"type":"b"}`, status: 400, detail: "x-ndjson"},
		{name: "not UTF-8", method: "POST", path: "/events", contentType: jsonType, body: "{\"type\":\"\xff\"}", status: 400, detail: "UTF-8"},
		{name: "NUL", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"a\u0000"}`, status: 400, detail: "NUL"},
		{name: "reserved", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"cdc.reset"}`, status: 400, detail: "reserved"},
		{name: "event too large", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"a","data":"` + big + `"}`, status: 413, detail: "append a reference"},
		{name: "body too large", method: "POST", path: "/events", contentType: jsonType, body: `{"type":"a","data":"` + big + big + `"}`, status: 413, detail: "append a reference"},
		{name: "no lines", method: "POST", path: "/events", contentType: ndjsonType, body: "\n \n", status: 400, line: 1, detail: "one JSON object a line"},
		{name: "bad line", method: "POST", path: "/events", contentType: ndjsonType, body: "{\"type\":\"a\"}\n\n{\"type\":\"b\"\n", status: 400, line: 3, detail: "ends in the middle"},
		{name: "last line bad", method: "POST", path: "/events", contentType: ndjsonType, body: strings.Repeat("{\"type\":\"a\"}\n", 5000) + "no", status: 400, line: 5001, detail: "send an object like"},
		{name: "reserved line", method: "POST", path: "/events", contentType: ndjsonType, body: "{\"type\":\"a\"}\n{\"type\":\"cdc.live\"}", status: 400, line: 2, detail: "reserved"},
		{name: "line too large", method: "POST", path: "/events", contentType: ndjsonType, body: "{\"type\":\"a\"}\n{\"data\":\"" + big + "\"}", status: 413, line: 2, detail: "append a reference"},
		{name: "line too long", method: "POST", path: "/events", contentType: ndjsonType, body: "{\"type\":\"a\"}\n{\"data\":\"" + big + big + "\"}", status: 413, line: 2, detail: "append a reference"},
		{name: "PUT", method: "PUT", path: "/events", status: 405, detail: "use GET"},
		{name: "DELETE", method: "DELETE", path: "/", status: 405, detail: "use GET"},
		{name: "POST health", method: "POST", path: "/healthz", contentType: jsonType, body: "{}", status: 405, detail: "use GET"},
		{name: "elsewhere", method: "GET", path: "/nothing", status: 404, detail: "/events"},
		{name: "folder", method: "GET", path: "/page/index.html", status: 404, detail: "/events"},
		{name: "bad cursor", method: "GET", path: "/events?after=!", status: 400, detail: ""},
	}
}

func TestAnAppendFromAPageOfAnotherOriginIsRefused(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, s.url: http.StatusCreated} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/events", strings.NewReader(`{"type":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", jsonType)
		req.Header.Set("Origin", origin)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("from %s: got %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

func TestTheCursorOfAnAppendNamesItsEventAndIsAcceptedAtOnce(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	first := s.append(t, `{"topic":"orders","type":"order.created","key":"o-1","data":{"total": 42,"note":"<&>"}}`)
	last := decode[appended](t, s.do(t, "POST", "/events", ndjsonType, "{\"type\":\"a\"}\n{\"type\":\"b\"}\n").body)
	if last.Count != 2 {
		t.Errorf("two lines: got count %d", last.Count)
	}
	for _, c := range []struct{ after, want string }{
		{"beginning", "order.created a b"},
		{first, "a b"},
		{"1", "a b"},
	} {
		var types []string
		frames(t.Context(), s.url+"/events?after="+c.after, "", func(f frame) bool {
			if f.name == "" {
				types = append(types, decode[struct{ Type string }](t, f.data).Type)
			}
			return f.name != "cdc.live"
		})
		if got := strings.Join(types, " "); got != c.want {
			t.Errorf("after %s: got %q, want %q", c.after, got, c.want)
		}
	}
	var got struct {
		Topic, Type, Key string
		Data             json.RawMessage
	}
	frames(t.Context(), s.url+"/events?after=beginning", "", func(f frame) bool {
		if f.name == "" {
			got.Data, got.Key = nil, ""
			if err := json.Unmarshal([]byte(f.data), &got); err != nil {
				t.Error(err)
			}
		}
		return f.name != "" || got.Key == ""
	})
	if got.Topic != "orders" || got.Key != "o-1" || !strings.Contains(string(got.Data), `"total":`) {
		t.Errorf("got %+v %s, want the event as it was sent", got, got.Data)
	}
	if next := s.append(t, `{"type":"c"}`); !strings.HasSuffix(strings.SplitN(next, ".", 3)[1], "4") {
		t.Errorf("the fourth event has cursor %q", next)
	}
	_ = last
}

func TestAnEventWithAnIDIsStoredOnce(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	first := s.append(t, `{"id":"x","type":"a"}`)
	a := s.do(t, "POST", "/events", jsonType, `{"id":"x","type":"a"}`)
	if got := decode[appended](t, a.body); a.status != 200 || got.Cursor != first || !got.Duplicate {
		t.Errorf("again: got %d %+v, want 200, the cursor %s and duplicate", a.status, got, first)
	}
	a = s.do(t, "POST", "/events", ndjsonType, "{\"id\":\"x\",\"type\":\"a\"}\n{\"id\":\"y\",\"type\":\"a\"}\n")
	if got := decode[appended](t, a.body); a.status != 201 || got.Duplicate || got.Count != 2 {
		t.Errorf("one of two again: got %d %+v", a.status, got)
	}
	if got := s.health(t).Head; got != 2 {
		t.Errorf("got %d events, want 2", got)
	}
}

func TestALongAppendReportsItsProgress(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	const n = 20_000
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"type":"line","key":"%d","data":%d}`+"\n", i, i)
	}
	a := s.do(t, "POST", "/events", ndjsonType, body.String())
	if a.status != 201 || a.header.Get("Content-Type") != ndjsonType {
		t.Fatalf("got %d and %s: %.300s", a.status, a.header.Get("Content-Type"), a.body)
	}
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if len(lines) < 2 {
		t.Fatalf("got no progress: %s", a.body)
	}
	before := 0
	for _, line := range lines[:len(lines)-1] {
		p := decode[struct{ Stored, Of int }](t, line)
		if p.Stored <= before || p.Of != n {
			t.Errorf("progress after %d: got %s", before, line)
		}
		before = p.Stored
	}
	if got := decode[appended](t, lines[len(lines)-1]); got.Count != n || got.Cursor == "" {
		t.Errorf("got last line %+v, want count %d and a cursor", got, n)
	}
	if got := s.health(t).Head; got != n {
		t.Errorf("got head %d, want %d", got, n)
	}
}

func TestRetainRemovesTheOldestAndTellsWhoIsTooLate(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"), "-retain", "100")
	s.do(t, "POST", "/events", ndjsonType, strings.Repeat("{\"type\":\"a\"}\n", 1000))
	await(t, "the floor to rise", func() bool { return s.health(t).Floor == 900 })
	var got []string
	frames(t.Context(), s.url+"/events?after=5", "", func(f frame) bool {
		got = append(got, f.name)
		if f.name == "cdc.reset" && !strings.Contains(f.data, `"truncated"`) {
			t.Errorf("got reset %s, want the reason truncated", f.data)
		}
		return f.name != "cdc.live"
	})
	if !strings.Contains(strings.Join(got, " "), "cdc.reset") {
		t.Errorf("after=5 below the floor: got frames %q, want a cdc.reset", got)
	}
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	index := s.do(t, "GET", "/", "", "")
	if index.status != 200 || !strings.HasPrefix(index.header.Get("Content-Type"), "text/html") {
		t.Fatalf("got %d %s", index.status, index.header.Get("Content-Type"))
	}
	if got := index.header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		t.Errorf("got policy %q", got)
	}
	references := regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(index.body, -1)
	if len(references) < 3 {
		t.Fatalf("got references %q, want at least style, script and icon", references)
	}
	for _, m := range references {
		if a := s.do(t, "GET", "/"+m[1], "", ""); a.status != 200 || strings.Contains(a.body, "https://") {
			t.Errorf("%s: got %d, or it refers to another host", m[1], a.status)
		}
	}
}
