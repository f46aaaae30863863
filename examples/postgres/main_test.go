package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

type frame struct {
	Type, Key string
	Data      json.RawMessage
}

// follow reads events from the beginning until there are n.
func follow(t *testing.T, url string, n int) []frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got []frame
	for lines := bufio.NewScanner(res.Body); len(got) < n && lines.Scan(); {
		var f frame
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if ok && json.Unmarshal([]byte(data), &f) == nil && f.Type != "" {
			got = append(got, f)
		}
	}
	return got
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body)) //nolint:noctx // it ends with the server
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestOrdersAndStockAreFollowed(t *testing.T) {
	dsn := testserver.StartPostgres(t).DSN("postgres")
	urls := make([]string, 2) // two processes on one database
	for i := range urls {
		s, err := openShop(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(s.routes())
		t.Cleanup(func() {
			if err := s.close(); err != nil {
				t.Error(err)
			}
			server.Close()
		})
		urls[i] = server.URL
	}
	if got := post(t, urls[0]+"/orders", `{"product":"lamp","pieces":3}`); got != http.StatusCreated {
		t.Fatalf("got %d, want 201", got)
	}
	if got := post(t, urls[1]+"/orders", `{"product":"lamp","pieces":8}`); got != http.StatusConflict {
		t.Errorf("got %d, want 409", got)
	}
	if got := post(t, urls[1]+"/orders", `{"product":"chair","pieces":1}`); got != http.StatusCreated {
		t.Errorf("got %d, want 201", got)
	}
	want := []frame{
		{"stock.update", "lamp", json.RawMessage(`{"old" : {"pieces":10,"product":"lamp"}, "new" : {"pieces":7,"product":"lamp"}}`)},
		{"order.placed", "1", json.RawMessage(`{"id":1,"product":"lamp","pieces":3}`)},
		{"stock.update", "chair", json.RawMessage(`{"old" : {"pieces":4,"product":"chair"}, "new" : {"pieces":3,"product":"chair"}}`)},
		{"order.placed", "2", json.RawMessage(`{"id":2,"product":"chair","pieces":1}`)},
	}
	for _, url := range urls {
		got := follow(t, url+"/events?after=beginning", len(want))
		if len(got) != len(want) {
			t.Fatalf("got %d events, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i].Type != want[i].Type || got[i].Key != want[i].Key || string(got[i].Data) != string(want[i].Data) {
				t.Errorf("event %d: got %s %s %s, want %s %s %s", i, got[i].Type, got[i].Key, got[i].Data, want[i].Type, want[i].Key, want[i].Data)
			}
		}
	}
}
