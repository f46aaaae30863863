package sse_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// scopes are what the events a, b, room:1, room:12 and * are to each.
var scopes = map[string]struct {
	scope sse.Scope
	want  []string // nil: the request is refused
}{
	"nothing is said":                {sse.Scope{}, nil},
	"everything":                     {sse.Everything(), []string{"a", "b", "room:1", "room:12", "*"}},
	"a user in no room":              {sse.Topics(), nil},
	"a user in no room, and public":  {sse.Topics().OrTopicPrefixes("room:"), []string{"room:1", "room:12"}},
	"exact":                          {sse.Topics("a", "room:1"), []string{"a", "room:1"}},
	"a user whose name is a pattern": {sse.Topics("*"), []string{"*"}},
	"a room whose name is a pattern": {sse.Topics("room:*"), nil},
	"prefix":                         {sse.TopicPrefixes("room:1"), []string{"room:1", "room:12"}},
	"a prefix that is a pattern":     {sse.TopicPrefixes("*"), []string{"*"}},
	"no prefix":                      {sse.TopicPrefixes(), nil},
	"an empty prefix":                {sse.TopicPrefixes(""), nil},
	"topics and an empty prefix":     {sse.Topics("a").OrTopicPrefixes(""), []string{"a"}},
	"everything and a prefix":        {sse.Everything().OrTopicPrefixes("a"), []string{"a", "b", "room:1", "room:12", "*"}},
	"no types":                       {sse.Everything().OnlyTypes(), nil},
	"no keys":                        {sse.Topics("a").OnlyKeys(), nil},
	"keys":                           {sse.Everything().OnlyKeys("k-a", "k-*"), []string{"a", "*"}},
	"keys that exclude each other":   {sse.Everything().OnlyKeys("k-a").OnlyKeys("k-b"), nil},
	"types, then topics":             {sse.Topics("a", "b").OnlyTypes("x"), []string{"a", "b"}},
	"narrowed nothing stays nothing": {sse.Topics().OnlyTypes("x"), nil},
}

func TestScopes(t *testing.T) {
	tickets := newTickets(t, make([]byte, 32), nil)
	log := memlog.New(nil)
	for _, topic := range []string{"a", "b", "room:1", "room:12", "*"} {
		if _, err := log.Append(t.Context(), cdc.Event{Topic: topic, Type: "x", Key: "k-" + topic, Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range scopes {
		t.Run(name, func(t *testing.T) {
			direct := serve(t, log, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) { return sse.Grant{Scope: test.scope}, nil }})
			wantTopics(t, direct, "?after=beginning", test.want)
			wantTopics(t, direct, "?after=beginning&topic=*", test.want)
			issued, err := tickets.Issue(sse.Grant{Scope: test.scope})
			if err != nil {
				t.Fatal(err)
			}
			wantTopics(t, serve(t, log, &sse.Options{Authorize: tickets.Authorize}), "?after=beginning&ticket="+issued, test.want)
		})
	}
}

func wantTopics(t *testing.T, s *server, query string, want []string) {
	t.Helper()
	response, cancel := s.get(t, query)
	defer cancel()
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		if want != nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d, want the topics %v", query, response.StatusCode, want)
		}
		return
	}
	var got []string
	for p := newParser(response.Body); ; {
		f, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.name == "cdc.live" {
			break
		}
		if f.name == "" && !f.comment {
			got = append(got, f.event(t).Topic)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: topics %q, want %q", query, got, want)
	}
}

// What a client asks for never widens what it may see, whatever it sends.
func TestNothingWidensAGrant(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(r *http.Request) (sse.Grant, error) {
		if r.Header.Get("Authorization") == "nothing" {
			return sse.Grant{}, nil
		}
		return sse.Grant{Scope: sse.Topics("mine").OnlyKeys("k")}, nil
	}})
	for _, query := range []string{"?topic=theirs", "?topic=the*", "?key=other", "?topic=mine&key=other", "?data=exact", "?bounds=only&topic=theirs"} {
		wantStatus(t, s, query, 403)
	}
	for _, query := range []string{"", "?topic=mine", "?bounds=only", "?topic=*", "?lastEventId=x.1", "?data=exact"} {
		wantStatus(t, s, query, 403, "Authorization", "nothing")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "nothing")
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if bounds := response.Header.Get("Gapless-Bounds"); response.StatusCode != 403 || bounds != "" {
			t.Errorf("HEAD %s by whom nothing is allowed: status %d with bounds %q", query, response.StatusCode, bounds)
		}
	}
	for _, topic := range []string{"theirs", "mine"} {
		if _, err := s.log.Append(t.Context(), cdc.Event{Topic: topic, Key: "k", Data: []byte(`"` + topic + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	f := s.follow(t, "?after=beginning&topic=*&type=&key=k&key=other")
	f.want("cdc.hello")
	f.wantPayload(`"mine"`)
}

// ?data=exact shows the metadata of events, which the envelope does not have.
func TestMetaIsGranted(t *testing.T) {
	for _, test := range []struct {
		meta bool
		want int
	}{{false, 403}, {true, 200}} {
		s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
			return sse.Grant{Scope: sse.Everything(), Meta: test.meta}, nil
		}})
		wantStatus(t, s, "?data=exact", test.want)
	}
}

func TestExpiredGrant(t *testing.T) {
	s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) {
		return sse.Grant{Scope: sse.Everything(), Expires: time.Now()}, nil
	}})
	wantStatus(t, s, "", 401)
	wantStatus(t, s, "?bounds=only", 401)
}

func TestScopeAsJSON(t *testing.T) {
	for _, text := range []string{`{}`, `null`, `{"filter":{}}`, `{"filter":null}`, `{"everything":false,"filter":{"Topics":[]}}`} {
		var scope sse.Scope
		if err := json.Unmarshal([]byte(text), &scope); err != nil {
			t.Fatal(err)
		}
		s := serve(t, nil, &sse.Options{Authorize: func(*http.Request) (sse.Grant, error) { return sse.Grant{Scope: scope}, nil }})
		wantStatus(t, s, "", 403)
	}
}
