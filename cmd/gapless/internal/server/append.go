package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cmd/gapless/internal/ndjson"
)

const (
	maxBody   = 64 << 20
	maxEvents = 1000 // of one request, which is one transaction
)

// inputError is an error in what a client sent.
type inputError struct {
	status int
	err    error
}

// Error is that of the input.
func (e *inputError) Error() string { return e.err.Error() }

// append appends the events of a request, all or none.
func (s *server) append(w http.ResponseWriter, r *http.Request) {
	if err := s.opts.Auth.mayAppend(r); err != nil {
		s.refuse(w, err)
		return
	}
	events, err := readEvents(w, r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	receipt, err := cdc.Append(r.Context(), s.log, events...)
	if e, ok := errors.AsType[*cdc.TooLargeError](err); ok {
		err = &inputError{http.StatusRequestEntityTooLarge, e}
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	duplicates := 0
	if receipt.Duplicate {
		duplicates = len(events)
	}
	answer(w, map[string]any{"events": len(events), "duplicates": duplicates, "cursor": receipt.Cursor()})
}

func readEvents(w http.ResponseWriter, r *http.Request) ([]cdc.Event, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-ndjson" && media != "application/json" {
		return nil, &inputError{http.StatusUnsupportedMediaType, errors.New("send application/json with one event, or application/x-ndjson with one a line")}
	}
	body := http.MaxBytesReader(w, r.Body, maxBody)
	if media == "application/json" {
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, broken(err)
		}
		e, err := ndjson.Decode(text)
		if err != nil {
			return nil, &inputError{http.StatusBadRequest, err}
		}
		return []cdc.Event{e}, nil
	}
	var events []cdc.Event
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxBody)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, err := ndjson.Decode(bytes.Clone(lines.Bytes()))
		if err != nil {
			return nil, &inputError{http.StatusBadRequest, fmt.Errorf("nothing was appended: line %d: %w", number, err)}
		}
		if events = append(events, e); len(events) > maxEvents {
			return nil, &inputError{http.StatusRequestEntityTooLarge, fmt.Errorf("nothing was appended: send at most %d events in one request", maxEvents)}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, broken(err)
	}
	if len(events) == 0 {
		return nil, &inputError{http.StatusBadRequest, errors.New("the body has no event")}
	}
	return events, nil
}

// broken is the error of a body that did not arrive.
func broken(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &inputError{http.StatusRequestEntityTooLarge, fmt.Errorf("nothing was appended: the body has more than %d MiB", maxBody>>20)}
	}
	return &inputError{http.StatusBadRequest, fmt.Errorf("nothing was appended: the body did not arrive whole: %w", err)}
}
