package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/transport/sse/remote"
)

// Exit codes, which scripts rely on.
const (
	exitFailed = 1 // it could not be done
	exitUsage  = 2 // the command line, the configuration or the input is wrong
	exitReset  = 3 // a stream cannot go on from its cursor: events may have been skipped
	exitDiffer = 4 // verify or certify found something wrong
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a stream was reset (events may have been skipped), 4 verify or certify found something wrong.`

// usageError is an error of the command line.
type usageError struct{ err error }

// Error is that of what is wrong.
func (e *usageError) Error() string { return e.err.Error() }

// Unwrap returns it.
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// differError says that what was checked is not what it should be.
type differError struct{ err error }

// Error is that of what is wrong.
func (e *differError) Error() string { return e.err.Error() }

// Unwrap returns it.
func (e *differError) Unwrap() error { return e.err }

// code is the exit code of an error.
func code(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*cdc.ResetError](err); ok {
		return exitReset
	}
	if _, ok := errors.AsType[*differError](err); ok {
		return exitDiffer
	}
	return exitFailed
}

// explain adds what to do to errors of the library that speak of its API.
func explain(err error) error {
	if e, ok := errors.AsType[*remote.StatusError](err); ok {
		switch e.Status {
		case http.StatusUnauthorized:
			return fmt.Errorf("the endpoint wants authorization: give --token (or GAPLESS_TOKEN): %w", err)
		case http.StatusForbidden:
			return fmt.Errorf("the token does not allow this; reading events with their metadata needs a grant with meta: %w", err)
		}
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("the source cannot do this; name the store itself, if it is an endpoint: %w", err)
	}
	return err
}

// report writes the error and returns the exit code.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	err = explain(err)
	if a.json {
		text, _ := json.Marshal(map[string]any{"error": err.Error(), "code": code(err)}) // texts and numbers always encode
		fmt.Fprintf(a.Err, "%s\n", text)
	} else {
		fmt.Fprintf(a.Err, "gapless: %v\n", err)
	}
	return code(err)
}
