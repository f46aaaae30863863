package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a running gapless serve.
type served struct {
	*process
	url   string // without a path
	admin string
}

// serve starts the program on free ports.
func serve(t *testing.T, args ...string) *served {
	t.Helper()
	p := start(t, append([]string{"serve", "--json", "--listen", "127.0.0.1:0"}, args...)...)
	var where struct{ Events, Status string }
	p.await(t, "the server", func() bool { return json.Unmarshal([]byte(p.out.String()), &where) == nil })
	return &served{p, strings.TrimSuffix(where.Events, "/events"), strings.TrimSuffix(where.Status, "/status")}
}

// get is the answer to a request, whose body has been read.
func get(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func newRequest(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	return request
}

// stream follows an endpoint: the channel gets the lines of its frames.
func stream(t *testing.T, url string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request := newRequest(t, http.MethodGet, url, "").WithContext(ctx)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	lines, ended := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		response.Body.Close()
	})
	return lines
}

// awaitLine waits for a line with the text.
func awaitLine(t *testing.T, lines <-chan string, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, open := <-lines:
			if strings.Contains(line, text) {
				return
			}
			if !open {
				t.Fatalf("the stream ended without %q", text)
			}
		case <-deadline:
			t.Fatalf("waited %v for %q", patience, text)
		}
	}
}

// TestServeWithCapture is the way of somebody who has a database and no Go: one
// command, and the stream shows what any program changes in it.
func TestServeWithCapture(t *testing.T) {
	each(t, func(t *testing.T, address string) {
		driver, dsn := database(address)
		execute(t, driver, dsn, "CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, total INTEGER)", "CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY)")
		refused(t, 2, []string{"CREATE TABLE", "change_log", "--yes"}, "serve", "-s", address, "--capture", "orders", "--listen", "127.0.0.1:0")
		refused(t, 1, []string{`has no log "change_log"`}, "info", "-s", address) // nothing was made
		s := serve(t, "-s", address, "--capture", "orders,customers", "--yes")
		lines := stream(t, s.url+"/events")
		awaitLine(t, lines, "cdc.live")
		execute(t, driver, dsn, "INSERT INTO orders VALUES (1, 42)", "UPDATE orders SET total = 43", "DELETE FROM orders", "INSERT INTO customers VALUES (7)")
		for _, want := range []string{`"type":"orders.insert"`, `"type":"orders.update"`, `"type":"orders.delete"`, `"type":"customers.insert"`} {
			awaitLine(t, lines, want)
		}
		execute(t, driver, dsn, "CREATE TABLE more (id INTEGER NOT NULL PRIMARY KEY)")
		refused(t, 2, []string{"TRIGGER", "more", "--yes"}, "serve", "-s", address, "--capture", "orders,more", "--listen", "127.0.0.1:0")
		if code := s.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("got exit %d: %s", code, s.err.String())
		}
		awaitLine(t, lines, "cdc.reconnect")
		serve(t, "-s", address, "--capture", "orders,customers") // nothing is left to ask
	}, "sqlite", "postgres", "mariadb")
}

func TestServeOwnsItsBoltFile(t *testing.T) {
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	s := serve(t, "-s", address, "--yes", "--append", "--retain-events", "1000")
	refused(t, 1, []string{"open in another program", "--source http"}, "serve", "-s", address)
	refused(t, 1, []string{"open in another program"}, "tail", "-s", address)
	if got := ok(t, numbered(1, 2300), "append", "-s", s.url+"/events"); !strings.HasPrefix(got, "2300 events appended") {
		t.Error(got)
	}
	if got := ok(t, numbered(1, 10), "append", "-s", s.url+"/events", "--json"); !strings.Contains(got, `"events":10`) {
		t.Error(got)
	}
	p := start(t, "tail", "-s", s.url+"/events", "--topic", "orders", "--progress", "never")
	p.await(t, "an event", func() bool {
		ok(t, `{"type":"more","topic":"orders"}`+"\n"+`{"type":"other","topic":"other"}`, "append", "-s", s.url+"/events")
		return strings.Contains(p.out.String(), `"more"`)
	})
	if strings.Contains(p.out.String(), `"other"`) {
		t.Errorf("the filter was ignored: %s", p.out.String())
	}
	for _, c := range []struct {
		body, media string
		want        int
	}{
		{`{"type":"a"}`, "application/json", 200},
		{`{"type":"a"`, "application/json", 400},
		{`{"type":"a"}` + "\n" + `{"typ":1}`, "application/x-ndjson", 400},
		{``, "application/x-ndjson", 400},
		{`{"type":"cdc.x"}`, "application/json", 400},
		{`a`, "text/plain", 415},
		{numbered(1, 1001), "application/x-ndjson", 413},
	} {
		if got, body := get(t, newRequest(t, http.MethodPost, s.url+"/append", c.body, "Content-Type", c.media)); got != c.want {
			t.Errorf("%.40q: got %d, want %d: %s", c.body, got, c.want, body)
		}
	}
}

func TestServeOnLoopbackAlone(t *testing.T) {
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		refused(t, 2, []string{"--jwt-secret-file", "127.0.0.1"}, "serve", "-s", address, "--yes", "--listen", listen)
	}
	s := serve(t, "-s", address, "--yes", "--append")
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{nil, 200},
		{[]string{"Host", "localhost:1234"}, 200},
		{[]string{"Host", "[::1]:80"}, 200},
		{[]string{"Host", "evil.example.com"}, 421},
		{[]string{"Host", "127.0.0.1.evil.example.com:80"}, 421},
	} {
		for _, path := range []string{"/healthz", "/events?bounds=only", "/status", "/metrics", "/openapi.json"} {
			if got, body := get(t, newRequest(t, http.MethodGet, s.url+path, "", c.headers...)); got != c.want {
				t.Errorf("%s %v: got %d, want %d: %s", path, c.headers, got, c.want, body)
			}
		}
	}
	post := newRequest(t, http.MethodPost, s.url+"/append", `{"type":"a"}`, "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site")
	if got, _ := get(t, post); got != 403 {
		t.Errorf("an append by a page of another site: got %d, want 403", got)
	}
	_, metrics := get(t, newRequest(t, http.MethodGet, s.url+"/metrics", ""))
	if !strings.Contains(metrics, "gapless_hub_head") {
		t.Errorf("metrics: %s", metrics)
	}
}
