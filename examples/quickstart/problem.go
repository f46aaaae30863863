package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gapless-go/gapless/cdc"
)

// problem is an error answer (RFC 9457). Detail says what to do.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Line   int    `json:"line,omitempty"` // of the NDJSON body, from 1
}

func (p problem) filled() problem {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	return p
}

func (p problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p.filled()) // fails if the client went away
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	problem{Status: http.StatusMethodNotAllowed, Detail: r.Method + " " + r.URL.Path + " does nothing: use " + allow + "."}.write(w)
}

// problemOf says which answer an error of reading or appending deserves.
func problemOf(err error) problem {
	p := problem{Status: http.StatusInternalServerError, Detail: err.Error()}
	if e, ok := errors.AsType[*lineError](err); ok {
		p.Line = e.line
	}
	if e, ok := errors.AsType[*cdc.InvalidEventError](err); ok {
		p.Status, p.Detail = http.StatusBadRequest, "The event's "+strings.ToLower(e.Field)+" "+e.Problem+"."
	}
	if e, ok := errors.AsType[*cdc.TooLargeError](err); ok {
		p.Status = http.StatusRequestEntityTooLarge
		p.Detail = fmt.Sprintf("The event has %d bytes, the limit is %d: store the payload elsewhere and append a reference.", e.Size, e.Max)
	}
	if e, ok := errors.AsType[*badInput](err); ok {
		p.Status, p.Detail = e.status, e.detail
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p = tooLong(e.Limit)
	}
	if errors.Is(err, cdc.ErrClosed) || errors.Is(err, errShuttingDown) {
		p.Status, p.Detail = http.StatusServiceUnavailable, "The server is shutting down and has not stored this: send it again."
	}
	return p
}

// badInput is an error in what the client sent.
type badInput struct {
	status int
	detail string
}

// Error is the detail.
func (e *badInput) Error() string { return e.detail }

// lineError says in which line of an NDJSON body an error is.
type lineError struct {
	line int // from 1
	err  error
}

// Error names the line.
func (e *lineError) Error() string { return e.err.Error() }

// Unwrap is the error in the line.
func (e *lineError) Unwrap() error { return e.err }
