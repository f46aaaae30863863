package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gapless-go/gapless/cdc"
)

const (
	// maxLine is the longest JSON text of one event. It leaves room for
	// escapes above the log's own limit of 1 MiB, which is the one that counts.
	maxLine = 2 << 20
	// maxBody is the longest NDJSON body. It becomes one transaction, which
	// bbolt holds in memory.
	maxBody = 512 << 20
	// bodyTimeout is how long a client may send nothing.
	bodyTimeout = 30 * time.Second
)

// input is an event as a client sends it.
type input struct {
	ID    string            `json:"id"`
	Topic string            `json:"topic"`
	Type  string            `json:"type"`
	Key   string            `json:"key"`
	Data  json.RawMessage   `json:"data"`
	Meta  map[string]string `json:"meta"`
}

// appended is the answer to an append. The cursor names the last event and is
// accepted as ?after= at once.
type appended struct {
	Cursor    cdc.Cursor `json:"cursor"`
	Count     int        `json:"count,omitempty"`     // events in an NDJSON body
	Duplicate bool       `json:"duplicate,omitempty"` // all IDs were there already
}

func (a *app) append(w http.ResponseWriter, r *http.Request) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	body := &patientBody{ReadCloser: r.Body, ctx: r.Context(), rc: http.NewResponseController(w)}
	defer context.AfterFunc(r.Context(), body.hurry)()
	r.Body = body
	switch media {
	case "application/json":
		a.appendOne(w, r)
	case "application/x-ndjson":
		a.appendMany(w, r)
	default:
		problem{
			Status: http.StatusUnsupportedMediaType,
			Detail: fmt.Sprintf("The Content-Type is %q: send application/json with one event, or application/x-ndjson with one event a line.", r.Header.Get("Content-Type")),
		}.write(w)
	}
}

func (a *app) appendOne(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLine))
	if err != nil {
		bodyProblem(r.Context(), err).write(w)
		return
	}
	event, err := decode(text)
	if err != nil {
		problemOf(err).write(w)
		return
	}
	receipt, err := a.log.Append(r.Context(), event)
	if err != nil {
		problemOf(err).write(w)
		return
	}
	status := http.StatusCreated
	if receipt.Duplicate {
		status = http.StatusOK
	}
	writeJSON(w, status, appended{Cursor: receipt.Cursor(), Duplicate: receipt.Duplicate})
}

// decode reads one event. Its data are the bytes of the JSON value as sent.
func decode(text []byte) (cdc.Event, error) {
	bad := func(format string, args ...any) (cdc.Event, error) {
		detail := fmt.Sprintf(format, args...) + `: send an object like {"topic":"orders","type":"order.created","key":"o-1","data":{"total":42}}.`
		return cdc.Event{}, &badInput{status: http.StatusBadRequest, detail: detail}
	}
	if !utf8.Valid(text) {
		return bad("The event is not UTF-8")
	}
	var in input
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&in); {
	case errors.Is(err, io.EOF):
		return bad("The body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bad("The event ends in the middle")
	case err != nil:
		return bad("The event is not as expected (%s)", strings.TrimPrefix(err.Error(), "json: "))
	}
	if rest, err := io.ReadAll(decoder.Buffered()); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return bad("Something follows the event (for several, send application/x-ndjson, one a line)")
	}
	if in.Type == "" && in.Data == nil {
		return bad("The event has neither a type nor data")
	}
	event := cdc.Event{ID: in.ID, Topic: in.Topic, Type: in.Type, Key: in.Key, Data: in.Data, Meta: in.Meta}
	return event, cdc.CheckAppend([]cdc.Event{event}, 0)
}

func tooLong(limit int64) problem {
	return problem{
		Status: http.StatusRequestEntityTooLarge,
		Detail: fmt.Sprintf("The body is longer than %d MiB: send large payloads elsewhere and append a reference, or split the input into several requests.", limit>>20),
	}
}

// bodyProblem is for an error of reading the body.
func bodyProblem(ctx context.Context, err error) problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problemOf(err)
	}
	if cause := context.Cause(ctx); errors.Is(cause, errShuttingDown) {
		return problemOf(cause)
	}
	return problem{Status: http.StatusBadRequest, Detail: "The body did not arrive whole, and nothing was stored: send it again. (" + err.Error() + ")"}
}

// patientBody gives the client bodyTimeout for each part of the body instead
// of a deadline for the whole of it, and none when ctx has ended.
type patientBody struct {
	io.ReadCloser
	ctx context.Context
	rc  *http.ResponseController
}

// Read moves the deadline. None is left behind at the end, because the server
// takes an expired one for a client that is gone.
func (b *patientBody) Read(p []byte) (int, error) {
	if err := b.rc.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return 0, err
	}
	if b.ctx.Err() != nil { // looked at after the deadline, so that hurry comes later if not now
		return 0, context.Cause(b.ctx)
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.ctx.Err() == nil {
		_ = b.rc.SetReadDeadline(time.Time{}) // the read's own error counts
	}
	return n, err
}

// hurry ends a Read that is waiting.
func (b *patientBody) hurry() { _ = b.rc.SetReadDeadline(time.Unix(1, 0)) }
