package sse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
	"github.com/gapless-go/gapless/transport/sse"
)

// secret is in everything of the events that a client must not see.
const secret = "s3cr3t"

// shared is a log of events that the client may see, in the topic mine, and of
// others between them.
func shared(t *testing.T, hidden bool) (log *memlog.Log, cursors []cdc.Cursor) {
	t.Helper()
	log = memlog.New(nil)
	for n := range 4 {
		mine := cdc.Event{ID: fmt.Sprint("m", n), Topic: "mine", Type: "a", Key: "k", Data: []byte(`"mine"`), Meta: map[string]string{"by": secret}}
		other := mine
		if hidden {
			other = cdc.Event{
				ID: fmt.Sprint(secret, n), Topic: "theirs-" + secret, Type: "type-" + secret, Key: "key-" + secret,
				Data: []byte(`"` + secret + `"`), Meta: map[string]string{secret: secret},
			}
		}
		if _, err := log.Append(t.Context(), mine, other); err != nil {
			t.Fatal(err)
		}
	}
	page := readAll(t, log)
	bounds, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		cursors = append(cursors, e.Cursor(bounds.Epoch))
	}
	return log, cursors
}

// attempts are queries by which a client may try to see more, from every kind
// of position that it can name.
func attempts(cursors []cdc.Cursor) []string {
	positions := []string{"", "latest", "beginning", "0", "99", "other.3", "garbage!"}
	for _, c := range cursors[:2] { // one's own event, and another
		wrong := c
		wrong.Tag = "AAAAAAAAAAA"
		positions = append(positions, c.String(), wrong.String(), fmt.Sprint(c.Seq))
	}
	var queries []string
	for _, rest := range []string{
		"", "topic=*", "topic=mine", "topic=theirs*", "topic=theirs*&topic=mine", "topic=", "type=", "key=", "type=a&key=k", "topic=m*&limit=1",
		"limit=3", "bounds=only", "data=exact", "heartbeat=event", "ticket=x&user=admin&scope=*", "Topic=theirs", "topics=*",
	} {
		for _, at := range positions {
			queries = append(queries, "after="+at+"&"+rest, "lastEventId="+at+"&"+rest)
		}
	}
	return queries
}

// forms are handlers of a log that send events in each form.
func forms(t *testing.T, log cdc.Log, grant sse.Grant) map[string]*sse.Handler {
	t.Helper()
	all := map[string]*sse.Handler{}
	for name, opts := range map[string]sse.Options{"envelope": {}, "payload": {Encoder: sse.Payload}, "compat": {Compat: true}, "a short replay": {Replay: sse.Replay{Max: 7}}} {
		opts.Authorize = func(*http.Request) (sse.Grant, error) { return grant, nil }
		opts.Timeouts.Write = -1
		handler, err := newHandler(log, &opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = handler.Close() })
		all[name] = handler
	}
	return all
}

// answer is what a client gets until its stream is live.
func answer(handler http.Handler, method, query string) (status int, text []byte) {
	r := httptest.NewRequest(method, "/", nil)
	r.URL.RawQuery = query + "&limit=100" // ends where no cdc.live is sent
	w := ask(handler, r)
	return w.status, fmt.Appendf(nil, "%d %v %s", w.status, w.header, &w.body)
}

// Whatever a client sends, nothing of an event outside of its grant comes back,
// and no metadata.
func TestHiddenEventsAreNotSent(t *testing.T) {
	log, cursors := shared(t, true)
	for name, handler := range forms(t, log, sse.Grant{Scope: sse.Topics("mine")}) {
		mine := 0
		for _, query := range attempts(cursors) {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost} {
				_, text := answer(handler, method, query)
				mine += bytes.Count(text, []byte("mine"))
				if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(base64Text(`"`+secret+`"`))) {
					t.Fatalf("%s: %s ?%s shows what is hidden:\n%s", name, method, query, text)
				}
			}
		}
		if mine == 0 {
			t.Errorf("%s: nothing was sent at all", name)
		}
	}
}

// A client that may see metadata gets that of its own events.
func TestHiddenMetadataIsNotSent(t *testing.T) {
	log, _ := shared(t, true)
	handler := forms(t, log, sse.Grant{Scope: sse.Topics("mine"), Meta: true})["envelope"]
	_, text := answer(handler, http.MethodGet, "after=beginning&data=exact")
	if got, want := bytes.Count(text, []byte(secret)), bytes.Count(text, []byte(`"meta":{"by":"`+secret+`"}`)); got != want || want != 4 {
		t.Errorf("%d of 4 events with their metadata, %d texts of it:\n%s", want, got, text)
	}
}

// Whether a topic, type or key is in the log is not told: the answers to what
// is refused are the same, and what is answered has the same frames.
func TestAnswersDoNotDependOnHiddenEvents(t *testing.T) {
	with, cursors := shared(t, true)
	without, _ := shared(t, false)
	here, there := forms(t, with, sse.Grant{Scope: sse.Topics("mine").OnlyKeys("k")}), forms(t, without, sse.Grant{Scope: sse.Topics("mine").OnlyKeys("k")})
	for _, query := range attempts(cursors) {
		for _, name := range []string{"envelope", "a short replay"} {
			status1, text1 := answer(here[name], http.MethodGet, query)
			status2, text2 := answer(there[name], http.MethodGet, query)
			if status1 != status2 || status1 != http.StatusOK && !bytes.Equal(text1, text2) {
				t.Errorf("%s ?%s: with events of others\n%s\nwithout\n%s", name, query, text1, text2)
			}
		}
	}
}

// What frames of ours say of the log are positions and the fields that are
// documented.
func TestControlFramesSayNoMoreThanIsDocumented(t *testing.T) {
	log, cursors := shared(t, true)
	documented := []string{"log", "from", "reason", "requested", "floor", "head"}
	handler := forms(t, log, sse.Grant{Scope: sse.Topics("mine")})["envelope"]
	seen := map[string]bool{}
	for _, query := range attempts(cursors) {
		r := httptest.NewRequest(http.MethodGet, "/?"+query, nil)
		w := ask(handler, r)
		if w.header.Get("Content-Type") != "text/event-stream" {
			continue
		}
		for _, f := range dispatched(t, w.body.Bytes()) {
			if f.name == "" {
				continue
			}
			seen[f.name] = true
			var fields map[string]any
			if err := json.Unmarshal([]byte(f.data), &fields); err != nil {
				t.Fatalf("%+v: %v", f, err)
			}
			for field := range fields {
				if !slices.Contains(documented, field) {
					t.Errorf("%s says %s: %s", f.name, field, f.data)
				}
			}
		}
	}
	for _, name := range []string{"cdc.hello", "cdc.live", "cdc.reset", "cdc.reconnect"} {
		if !seen[name] {
			t.Errorf("no %s was seen", name)
		}
	}
}

// Who asks is told by the connection, whatever headers say; a method is what the
// request line says.
func TestHeadersForgeNothing(t *testing.T) {
	var told recorder
	asked := 0
	s := serve(t, nil, &sse.Options{Observer: told.observer(), Authorize: func(*http.Request) (sse.Grant, error) {
		asked++
		return sse.Grant{Scope: sse.Everything()}, nil
	}})
	s.follow(t, "?_method=POST", "X-Forwarded-For", "6.6.6.6", "Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6", "X-HTTP-Method-Override", "POST").want("cdc.hello")
	told.note(func() {
		if got := told.opened[0].Remote; !strings.HasPrefix(got, "127.0.0.1:") {
			t.Errorf("the client's address is %s", got)
		}
	})
	for one := range s.handler.Status().Streams() {
		if !strings.HasPrefix(one.Remote, "127.0.0.1:") {
			t.Errorf("the client's address is %s", one.Remote)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/?_method=GET", nil)
	r.Header.Set("X-HTTP-Method-Override", "GET")
	if w := ask(s.handler, r); w.status != http.StatusMethodNotAllowed || asked != 1 {
		t.Errorf("POST that says it is a GET: status %d, authorized %d times", w.status, asked-1)
	}
}

// Who is refused takes no place, and neither does who asks for the bounds.
func TestRefusedClientsTakeNoPlace(t *testing.T) {
	s := serve(t, nil, &sse.Options{Limits: sse.Limits{Streams: 1}, Authorize: authorizeMine})
	for range 5 {
		wantStatus(t, s, "", 401, "Authorization", "none")
		wantStatus(t, s, "?topic=theirs", 403)
		wantStatus(t, s, "?bounds=only", 200)
	}
	f := s.follow(t, "")
	f.want("cdc.hello")
	if st := s.handler.Status(); st.Open != 1 || st.Opened != 1 || len(st.Refused) > 0 {
		t.Errorf("status %+v, want one stream", st)
	}
}

// A page of another origin cannot have an answer taken for a script or an image.
func TestAnswersAreWhatTheySayTheyAre(t *testing.T) {
	s := serve(t, nil, nil)
	for _, query := range []string{"", "?bounds=only", "?after=garbage!", "?limit=1"} {
		response, cancel := s.get(t, query)
		_ = response.Body.Close()
		cancel()
		if got := response.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", query, got)
		}
	}
}

// Of several tickets the first counts, and only that in the query.
func TestOneTicketCounts(t *testing.T) {
	tickets := newTickets(t, make([]byte, 32), nil)
	s := serve(t, nil, &sse.Options{Authorize: tickets.Authorize})
	issued, err := tickets.Issue(sse.Grant{Scope: sse.Topics("mine"), User: "ada", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, "?ticket=x&ticket="+issued, 401)
	wantStatus(t, s, "?ticket=&ticket="+issued, 401)
	wantStatus(t, s, "", 401, "Authorization", "Bearer "+issued, "Cookie", "ticket="+issued)
	wantStatus(t, s, "?ticket="+issued+"&ticket=x", 200)
	wantStatus(t, s, "?ticket="+issued+"&topic=theirs", 403)
}
