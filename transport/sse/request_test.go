package sse_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/transport/sse"
)

// Polyfills repeat the URL and put their position into the query.
func TestPositionInTheQuery(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`, `2`, `3`)
	all := s.follow(t, "?after=beginning")
	all.want("cdc.hello")
	var ids []string
	for _, data := range []string{`1`, `2`, `3`} {
		ids = append(ids, url.QueryEscape(all.wantPayload(data).id))
	}
	for name, test := range map[string]struct{ query, header, want string }{
		"event-source-polyfill":                   {"?after=beginning&lastEventId=" + ids[1], "", `3`},
		"reconnecting-eventsource, which appends": {"?lastEventId=" + ids[0] + "&lastEventId=" + ids[1], "", `3`},
		"Last-Event-ID":                           {"?after=beginning&Last-Event-ID=" + ids[1], "", `3`},
		"none yet":                                {"?after=" + ids[0] + "&lastEventId=", "", `2`},
		"the header goes first":                   {"?lastEventId=" + ids[0], ids[1], `3`},
		"before the first event":                  {"?after=beginning", "", `1`},
	} {
		t.Run(name, func(t *testing.T) {
			f := s.follow(t, test.query, "Last-Event-ID", test.header)
			f.want("cdc.hello")
			f.wantPayload(test.want)
		})
	}
	f := s.follow(t, "?after=beginning&lastEventId=garbage!")
	f.want("cdc.hello")
	f.want("cdc.reset")
}

// A polyfill reconnects with its ticket as an EventSource does.
func TestTicketWithThePositionInTheQuery(t *testing.T) {
	tickets := newTickets(t, make([]byte, 32), &sse.TicketOptions{Exchange: time.Nanosecond})
	s := serve(t, nil, &sse.Options{Authorize: tickets.Authorize})
	issued, err := tickets.Issue(sse.Grant{Scope: sse.Everything()})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, "?ticket="+issued, 401)
	s.follow(t, "?ticket="+issued+"&lastEventId=x.1").want("cdc.hello")
}

func TestNearMissesOfParameters(t *testing.T) {
	s := serve(t, nil, nil)
	for name, right := range map[string]string{
		"Topic": "topic", "topics": "topic", "TOPIC": "topic", "topic[]": "topic", "Types": "type", "keys": "key",
		"After": "after", "heart-beat": "heartbeat", "Data": "data", "Bounds": "bounds",
		"last_event_id": "lastEventId", "LastEventId": "lastEventId", "last-event-id": "lastEventId",
	} {
		response, cancel := s.get(t, "?"+url.QueryEscape(name)+"=x")
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		cancel()
		if err != nil || response.StatusCode != 400 || !strings.Contains(string(body), "write "+right) {
			t.Errorf("?%s=: status %d with %s, want 400 and what to write", name, response.StatusCode, body)
		}
	}
	s.follow(t, "?utm_source=mail&t=17&ticket=x&user=ada&cursor=1&thetopic=a").want("cdc.hello")
}

// net/http notices that a client has gone when it has read the body.
func TestBodyThatIsNeverSent(t *testing.T) {
	s := serve(t, nil, nil)
	for _, length := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", length)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", length, err)
		}
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", length, response.StatusCode)
		}
		_ = response.Body.Close()
		_ = conn.Close()
	}
}

func TestBoundsByGET(t *testing.T) {
	s := serve(t, nil, nil)
	appendData(t, s.log, `1`, `2`)
	response, cancel := s.get(t, "?bounds=only")
	defer cancel()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), `"floor":0,"head":2,"last":2}`) || response.Header.Get("Connection") == "close" {
		t.Errorf("status %d, headers %v, body %s, error %v", response.StatusCode, response.Header, body, err)
	}
	wantStatus(t, s, "?bounds=yes", 400)
}
