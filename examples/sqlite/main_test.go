package main

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// frames reads n frames of the stream as text.
func frames(t *testing.T, url, lastEventID string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got []string
	var frame strings.Builder
	for lines := bufio.NewScanner(res.Body); len(got) < n && lines.Scan(); {
		switch line := lines.Text(); {
		case line == "" && frame.Len() > 0:
			got = append(got, frame.String())
			frame.Reset()
		case line != "" && line != ":" && !strings.HasPrefix(line, "retry:"):
			frame.WriteString(line + "\n")
		}
	}
	return got
}

func do(t *testing.T, method, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s: %s", method, url, res.Status)
	}
}

var times = regexp.MustCompile(`"createdAt":"[^"]+"`)

func TestClientsGetTheFramesTheyKnow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my sessions?#100%.db")
	a, err := openApp(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	server := httptest.NewServer(a.routes())
	t.Cleanup(func() {
		if err := a.close(); err != nil { // first, because it ends the streams
			t.Error(err)
		}
		server.Close()
	})
	do(t, http.MethodPut, server.URL+"/api/v1/sessions/s1", `{"projectId":"p1","title":"a"}`)
	do(t, http.MethodPut, server.URL+"/api/v1/sessions/s1", `{"projectId":"p1","title":"b","status":"done"}`)
	do(t, http.MethodPut, server.URL+"/api/v1/sessions/s1", `{"projectId":"p1","title":"b","status":"done"}`) // changes nothing
	do(t, http.MethodDelete, server.URL+"/api/v1/sessions/s1", "")

	want := []string{
		"event: session_created\ndata: {\"seq\":1,\"projectId\":\"p1\",\"sessionId\":\"s1\",\"type\":\"session_created\",\"payload\":{\"title\":\"a\",\"status\":\"open\"},\"createdAt\":…}\nid: 1\n",
		"event: session_updated\ndata: {\"seq\":2,\"projectId\":\"p1\",\"sessionId\":\"s1\",\"type\":\"session_updated\",\"payload\":{\"title\":\"b\",\"status\":\"done\"},\"createdAt\":…}\nid: 2\n",
		"event: session_deleted\ndata: {\"seq\":3,\"projectId\":\"p1\",\"sessionId\":\"s1\",\"type\":\"session_deleted\",\"payload\":{},\"createdAt\":…}\nid: 3\n",
	}
	for after, lastEventID := range map[int]string{0: "0", 1: "1", 2: "2"} {
		got := frames(t, server.URL+"/api/v1/events", lastEventID, 3-after)
		for i := range got {
			got[i] = times.ReplaceAllString(got[i], `"createdAt":…`)
		}
		if strings.Join(got, "\n") != strings.Join(want[after:], "\n") {
			t.Errorf("after %d: got\n%s\nwant\n%s", after, strings.Join(got, "\n"), strings.Join(want[after:], "\n"))
		}
	}

	// Rows that another program purges are a reset, not a silent gap.
	if _, err := a.db.ExecContext(t.Context(), "DELETE FROM change_log WHERE seq <= 2"); err != nil {
		t.Fatal(err)
	}
	if got := frames(t, server.URL+"/api/v1/events", "1", 1); len(got) != 1 || !strings.Contains(got[0], "cdc.reset") || !strings.Contains(got[0], `"truncated"`) {
		t.Errorf("after a purge: got %q, want a reset", got)
	}
}

func TestAFileThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nowhere", "sessions.db")
	if _, err := openApp(t.Context(), file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want the file's name", err)
	}
}
