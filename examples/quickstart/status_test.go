package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheStatusPageIsThereOnRequestOnly(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	if a := s.do(t, "GET", "/status", "", ""); a.status != 404 {
		t.Errorf("without -status: got status %d, want 404", a.status)
	}
	s = start(t, filepath.Join(t.TempDir(), "log.db"), "-status")
	if a := s.do(t, "GET", "/status", "", ""); a.status != 200 || !strings.Contains(string(a.body), "<title>Gapless status</title>") {
		t.Errorf("with -status: got status %d, %.200s", a.status, a.body)
	}
	type data struct {
		Streams struct{ Open *int }
		Tail    struct{ End string }
	}
	await(t, "the event in the status", func() bool {
		a := s.do(t, "GET", "/status?data", "", "")
		d := decode[data](t, a.body)
		if a.status != 200 || d.Streams.Open == nil || *d.Streams.Open != 0 {
			t.Fatalf("got status %d, %s", a.status, a.body)
		}
		if d.Tail.End == "0" {
			s.append(t, `{"type":"a"}`)
		}
		return d.Tail.End != "0"
	})
	if a := s.do(t, "POST", "/status", jsonType, "{}"); a.status != 405 {
		t.Errorf("POST: got status %d, want 405", a.status)
	}
}
