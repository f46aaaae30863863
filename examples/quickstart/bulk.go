package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gapless-go/gapless/cdc"
)

const (
	bulkBatch = 1000                   // events encoded at once
	bulkQuiet = 500 * time.Millisecond // between two lines of progress
	bulkLong  = 10_000                 // events from which an append is long
)

// appendMany stores an NDJSON body as one transaction. The body is checked and
// spooled to a file first: the writer lock of the log is held for the time it
// takes to store the events, not for the time a client takes to send them, and
// a bad line is answered before anything is stored.
//
// The answer to a long one has lines of progress, and its last line is what the
// answer to a short one consists of; an error then comes in that line as well.
func (a *app) appendMany(w http.ResponseWriter, r *http.Request) {
	spool, err := openSpool(a.spool)
	if err != nil {
		problemOf(err).write(w)
		return
	}
	defer spool.Close()
	total, err := fill(spool, http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if errors.As(err, new(*lineError)) {
			problemOf(err).write(w)
		} else {
			bodyProblem(r.Context(), err).write(w)
		}
		return
	}
	report := &progress{w: w, total: total}
	if total < bulkLong {
		report.last = time.Now()
	}
	result, err := a.store(r.Context(), spool, report.stored)
	if err != nil {
		report.failed(problemOf(err))
		return
	}
	report.done(result)
}

// openSpool makes a file that is gone when it is closed or the process dies.
func openSpool(pattern string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(pattern), filepath.Base(pattern))
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// fill checks every line of body and copies it. It returns their number and
// leaves the file at its beginning.
func fill(spool *os.File, body io.Reader) (total int, err error) {
	out := bufio.NewWriterSize(spool, 1<<20)
	lines := newLines(body)
	for {
		text, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if _, err := decode(text); err != nil {
			return 0, &lineError{line: lines.number, err: err}
		}
		total++
		_, _ = out.Write(text) // Flush has the error
		_ = out.WriteByte('\n')
	}
	if total == 0 {
		return 0, &lineError{line: 1, err: &badInput{status: http.StatusBadRequest, detail: "The body holds no event: send one JSON object a line."}}
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	_, err = spool.Seek(0, io.SeekStart)
	return total, err
}

// store appends all events of the spool in one transaction.
func (a *app) store(ctx context.Context, spool io.Reader, stored func(int)) (appended, error) {
	result := appended{Duplicate: true}
	err := a.log.DB().Update(func(tx *bbolt.Tx) error {
		lines := newLines(spool)
		for {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			batch, err := readBatch(lines)
			if err != nil {
				return err
			}
			if len(batch) == 0 {
				return nil
			}
			receipt, err := a.log.AppendTx(tx, batch...)
			if err != nil {
				return err
			}
			result.Cursor = receipt.Cursor()
			result.Count += len(batch)
			result.Duplicate = result.Duplicate && receipt.Duplicate
			stored(result.Count)
		}
	})
	return result, err
}

func readBatch(lines *lines) ([]cdc.Event, error) {
	batch := make([]cdc.Event, 0, bulkBatch)
	for len(batch) < bulkBatch {
		text, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		event, err := decode(text)
		if err != nil {
			return nil, err
		}
		batch = append(batch, event)
	}
	return batch, nil
}

// lines reads the lines of an NDJSON text that are not blank.
type lines struct {
	scanner *bufio.Scanner
	number  int // of the line that next returned, from 1
}

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &lines{scanner: s}
}

// next returns a line that is valid until the next call, or io.EOF.
func (l *lines) next() ([]byte, error) {
	for l.scanner.Scan() {
		l.number++
		if text := bytes.TrimSpace(l.scanner.Bytes()); len(text) > 0 {
			return text, nil
		}
	}
	switch err := l.scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &lineError{line: l.number + 1, err: &badInput{
			status: http.StatusRequestEntityTooLarge,
			detail: "The line is longer than 2 MiB: store the payload elsewhere and append a reference.",
		}}
	case err != nil:
		return nil, err
	}
	return nil, io.EOF
}

// progress writes the answer to an NDJSON body.
type progress struct {
	w       http.ResponseWriter
	total   int
	last    time.Time // when the last line was sent
	started bool      // the status has been sent
}

func (p *progress) stored(n int) {
	if time.Since(p.last) < bulkQuiet {
		return
	}
	p.last = time.Now()
	p.line(struct {
		Stored int `json:"stored"`
		Of     int `json:"of"`
	}{n, p.total})
}

func (p *progress) line(v any) {
	if !p.started {
		p.started = true
		p.w.Header().Set("Content-Type", "application/x-ndjson")
		p.w.WriteHeader(http.StatusCreated)
	}
	json.NewEncoder(p.w).Encode(v)          //nolint:errcheck // the request's context ends when the client goes away
	http.NewResponseController(p.w).Flush() //nolint:errcheck // likewise
}

func (p *progress) failed(problem problem) {
	if !p.started {
		problem.write(p.w)
		return
	}
	p.line(struct {
		Error any `json:"error"`
	}{problem.filled()})
}

func (p *progress) done(result appended) {
	switch {
	case p.started:
		p.line(result)
	case result.Duplicate:
		writeJSON(p.w, http.StatusOK, result)
	default:
		writeJSON(p.w, http.StatusCreated, result)
	}
}
