package openapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
	"github.com/gapless-go/gapless/transport/sse/internal/wire"
	"github.com/gapless-go/gapless/transport/sse/openapi"
)

func TestMountLeavesTheRestOfADocumentAlone(t *testing.T) {
	var doc openapi.Object
	const own = `{"openapi":"3.1.0","info":{"title":"Shop","version":"2"},"paths":{"/orders":{}},"components":{"schemas":{"Order":{"type":"object"}}}}`
	if err := json.Unmarshal([]byte(own), &doc); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := openapi.Mount(doc, &openapi.Options{Path: "/orders/events"}); err != nil {
			t.Fatal(err)
		}
	}
	paths := doc["paths"].(openapi.Object)
	if got := slices.Sorted(maps.Keys(paths)); !slices.Equal(got, []string{"/orders", "/orders/events"}) {
		t.Errorf("got paths %v", got)
	}
	schemas := doc["components"].(openapi.Object)["schemas"].(openapi.Object)
	if schemas["Order"] == nil || schemas["GaplessEvent"] == nil {
		t.Errorf("got schemas %v", slices.Sorted(maps.Keys(schemas)))
	}
}

func TestMountRefusesWhatIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		doc  openapi.Object
		want string
	}{
		"path":    {openapi.Object{"openapi": "3.1.0", "paths": openapi.Object{"/events": openapi.Object{}}}, "/events"},
		"schema":  {openapi.Object{"openapi": "3.1.0", "components": openapi.Object{"schemas": openapi.Object{"GaplessEvent": openapi.Object{}}}}, "GaplessEvent"},
		"version": {openapi.Object{"openapi": "3.0.3"}, "3.0.3"},
		"type":    {openapi.Object{"openapi": "3.1.0", "paths": "none"}, "paths"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(c.doc)
			err := openapi.Mount(c.doc, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that names %s", err, c.want)
			}
			if after, _ := json.Marshal(c.doc); string(after) != string(before) {
				t.Errorf("the document was changed to %s", after)
			}
		})
	}
}

// Every answer of a Handler has a response in the document, with its type.
func TestTheDocumentKnowsTheAnswersOfAHandler(t *testing.T) {
	log := memlog.New(nil)
	defer log.Close()
	handler, err := sse.NewHandler(log, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.Header.Get("Authorization") == "no" {
			return sse.Grant{}, &sse.AccessError{Status: http.StatusUnauthorized}
		}
		return sse.Grant{Scope: sse.Everything()}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()
	for _, c := range []struct {
		method, target, authorization string
		status                        string
	}{
		{"HEAD", "/events", "", "200"},
		{"OPTIONS", "/events", "", "204"},
		{"GET", "/events?after=?", "", "400"},
		{"GET", "/events?heartbeat=loud", "", "400"},
		{"GET", "/events", "no", "401"},
		{"GET", "/events?bounds=only", "", "200"},
		{"GET", "/events?logpage=other.0-512", "", "404"},
		{"GET", "/events", "", "500"}, // below: a response that cannot be streamed
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Header.Set("Authorization", c.authorization)
		handler.ServeHTTP(struct{ http.ResponseWriter }{w}, r) // hides Flush
		operation := lookup(t, openapi.Document(nil), "paths", "/events", strings.ToLower(c.method))
		if got := w.Result().StatusCode; http.StatusText(got) == "" || c.status != itoa(got) {
			t.Errorf("%s %s: got %d, want %s", c.method, c.target, got, c.status)
			continue
		}
		if lookup(t, operation, "responses")[c.status] == nil {
			t.Errorf("%s %s is answered with %s, which the document does not have", c.method, c.target, c.status)
		}
		if got := w.Header().Get("Content-Type"); c.status >= "400" && got != "application/problem+json" {
			t.Errorf("%s %s: got %q", c.method, c.target, got)
		}
	}
}

// Every parameter that a Handler reads is in the document, and no other.
func TestTheDocumentKnowsTheParametersOfAHandler(t *testing.T) {
	doc := openapi.Document(nil)
	var names []string
	for _, one := range lookup(t, doc, "components", "parameters") {
		p := one.(openapi.Object)
		if p["in"] == "query" {
			names = append(names, p["name"].(string))
		} else if p["name"] != wire.LastEventID || p["in"] != "header" {
			t.Errorf("the document has %v, which is no parameter of a Handler", p)
		}
	}
	want := wire.Params()
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("the document has %q, want %q", names, want)
	}
	if got := len(lookup(t, doc, "paths", "/events")["parameters"].([]any)); got != len(want)+1 {
		t.Errorf("the path refers to %d parameters, want %d", got, len(want)+1)
	}
}

// Tags and schemes that an operation names are declared, once.
func TestMountDeclaresWhatItUses(t *testing.T) {
	doc := openapi.Object{"openapi": "3.1.0", "tags": []any{openapi.Object{"name": "orders"}}}
	for _, path := range []string{"/a", "/b"} {
		if err := openapi.Mount(doc, &openapi.Options{Path: path, Tickets: true}); err != nil {
			t.Fatal(err)
		}
	}
	if tags := doc["tags"].([]any); len(tags) != 2 || tags[1].(openapi.Object)["name"] != "events" {
		t.Errorf("got tags %v, want the one that was there and ours", tags)
	}
	lookup(t, doc, "components", "securitySchemes", "GaplessTicket")
	security := lookup(t, doc, "paths", "/a", "get")["security"].([]openapi.Object)
	if len(security) != 1 || security[0]["GaplessTicket"] == nil {
		t.Errorf("got security %v, want the ticket", security)
	}
	for _, wrong := range []any{"events", openapi.Object{}} {
		if err := openapi.Mount(openapi.Object{"openapi": "3.1.0", "tags": wrong}, nil); err == nil || !strings.Contains(err.Error(), "tags") {
			t.Errorf("tags %v: got %v, want an error that names them", wrong, err)
		}
	}
}

func itoa(n int) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func lookup(t *testing.T, doc openapi.Object, names ...string) openapi.Object {
	t.Helper()
	for _, name := range names {
		next, ok := doc[name].(openapi.Object)
		if !ok {
			t.Fatalf("the document has no %q of %v", name, names)
		}
		doc = next
	}
	return doc
}

func TestHandlersServeJSON(t *testing.T) {
	for name, h := range map[string]http.Handler{"openapi": openapi.Handler(nil), "asyncapi": openapi.AsyncAPIHandler(&openapi.Options{Server: "https://example.com/api"})} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		var doc openapi.Object
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc[name] == nil {
			t.Errorf("%s: got %v, %.80s", name, err, w.Body)
		}
	}
	w := httptest.NewRecorder()
	openapi.Handler(&openapi.Options{Data: openapi.Object{"bad": func() {}}}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "Options.Data") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
