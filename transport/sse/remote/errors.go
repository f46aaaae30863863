package remote

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StatusError is an answer that is no event stream.
type StatusError struct {
	Status int
	Detail string // the first 500 bytes of the body
}

// Error names status and detail.
func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d: %s", e.Status, e.Detail)
}

// isRefusal reports whether the server has refused the request, so that it is
// of no use to ask again: a status of 400 to 499, but 408 and 429.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.Status >= 400 && e.Status < 500 &&
		e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
}

// reconnectError is the server's wish that the client comes back later.
type reconnectError struct{ after time.Duration }

func (e *reconnectError) Error() string { return "the server asks to reconnect in " + e.after.String() }
