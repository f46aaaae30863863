package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
)

// The hub stores what it sends: a client that comes back gets the rest.
func TestTheHubStores(t *testing.T) {
	hub, err := open(t.Context(), filepath.Join(t.TempDir(), "updates.db"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(hub)
	t.Cleanup(func() {
		if err := hub.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	for n := range 3 {
		if err := publish(hub, [][]byte{control.Data(control.Marker, n, time.Now())}); err != nil {
			t.Fatal(err)
		}
	}
	first := follow(t, server.URL, "earliest", 1)[0]
	rest := follow(t, server.URL, first.id, 2)
	for n, got := range []event{first, rest[0], rest[1]} {
		if want := fmt.Sprintf("%s%08d", control.Marker, n); !strings.HasPrefix(got.data, want) || len(got.data) != control.EventBytes {
			t.Errorf("event %d: got %q, want one that begins with %q", n, got.data, want)
		}
	}
}

type event struct{ id, data string }

// follow returns n events after the id.
func follow(t *testing.T, url, after string, n int) []event {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/.well-known/mercure?topic="+topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", after)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var events []event
	var e event
	for lines := bufio.NewScanner(response.Body); len(events) < n && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "data":
			e.data = value
			events = append(events, e)
		}
	}
	if len(events) < n {
		t.Fatalf("got %d events after %q, want %d", len(events), after, n)
	}
	return events
}
