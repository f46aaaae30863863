package server

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse"
)

// problem answers with an error as RFC 9457 has it. The detail says what to do.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // fails if the client went away
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
}

// refuse answers with what an error of authorization or of an append deserves.
// Texts of the store are not for clients.
func (s *server) refuse(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*sse.AccessError](err); ok {
		if e.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		problem(w, e.Status, e.Detail)
		return
	}
	if e, ok := errors.AsType[*inputError](err); ok {
		problem(w, e.status, e.err.Error())
		return
	}
	s.handler.Report(err)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		problem(w, http.StatusNotImplemented, "This log cannot be appended to.")
	case errors.Is(err, cdc.ErrUnknownOutcome), errors.Is(err, cdc.ErrClosed):
		problem(w, http.StatusServiceUnavailable, "Whether the events were appended is not known: send them again with the same ids.")
	default:
		problem(w, http.StatusInternalServerError, "The events were not appended; the log of the server says why.")
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // fails if the client went away
}
