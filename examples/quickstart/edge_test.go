package main_test

import (
	"net/http"
	"path/filepath"
	"testing"
)

// Caches and monitors ask with HEAD; tools look for the document.
func TestHeadAndDocument(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "log.db"))
	if a := s.do(t, http.MethodHead, "/events", "", ""); a.status != http.StatusOK {
		t.Errorf("HEAD /events: status %d, want 200", a.status)
	}
	if a := s.do(t, http.MethodGet, "/openapi.json", "", ""); a.status != http.StatusOK {
		t.Errorf("GET /openapi.json: status %d, want 200", a.status)
	}
}
