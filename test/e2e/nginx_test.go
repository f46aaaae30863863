package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	memlog "github.com/gapless-go/gapless/source/mem"
)

// The configuration that docs/operating.md shows passes on an event at once,
// while the stream is open, and the position of a client that comes back.
func TestTheNginxOfTheDocs(t *testing.T) {
	block := nginxOf(t, "../../docs/operating.md")
	if !strings.Contains(block, "http://gapless;") {
		t.Fatal("docs/operating.md has no nginx block for http://gapless")
	}
	log := memlog.New(nil)
	t.Cleanup(func() { log.Close() })
	server := serve(t, newHandler(t, log, nil), false, nil)
	upstream := strings.TrimPrefix(server.URL, "http://")
	front := startNginx(t, upstream, strings.ReplaceAll(block, "//gapless;", "//"+upstream+";"))

	appendPayloads(t, log, "t", `1`)
	first := followThrough(t, "http://"+front+"/events?after=beginning", "")
	id := first.until(`"data":1}`)
	appendPayloads(t, log, "t", `2`) // the stream is open: it must not wait for more
	first.until(`"data":2}`)
	again := followThrough(t, "http://"+front+"/events", id)
	if text := again.seenUntil(`"data":2}`); strings.Contains(text, `"data":1}`) {
		t.Errorf("the position of %s did not pass: %s", id, text)
	}
}

// openStream is a response whose lines are read as they come.
type openStream struct {
	t    *testing.T
	body *http.Response
	text string
}

func followThrough(t *testing.T, url, last string) *openStream {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return &openStream{t: t, body: response}
}

// seenUntil reads until the text has come with the end of its frame, and
// returns all that came.
func (s *openStream) seenUntil(want string) string {
	s.t.Helper()
	buf := make([]byte, 4096)
	for {
		if _, after, ok := strings.Cut(s.text, want); ok && strings.Contains(after, "\n\n") {
			return s.text
		}
		n, err := s.body.Body.Read(buf)
		s.text += string(buf[:n])
		if err != nil {
			s.t.Fatalf("%v before %s came, after\n%s", err, want, s.text)
		}
	}
}

// until returns the id of the frame with that text.
func (s *openStream) until(want string) string {
	s.t.Helper()
	_, after, _ := strings.Cut(s.seenUntil(want), want)
	_, id, _ := strings.Cut(after, "\nid: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}
