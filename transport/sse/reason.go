package sse

import (
	"context"
	"errors"

	"github.com/gapless-go/gapless/cdc"
)

// EndReason says why a stream ended.
type EndReason string

// The reasons. All but the second are told to the client by cdc.reconnect, as
// far as it can be reached.
const (
	EndClient       EndReason = "client"        // the client has gone or closed its side, or a read deadline passed
	EndWriteTimeout EndReason = "write-timeout" // the client did not read within Timeouts.Write
	EndLimit        EndReason = "limit"         // ?limit= events were sent, or there are no more
	EndPages        EndReason = "pages"         // the client goes on with pages, or has got one
	EndDrain        EndReason = "drain"         // Drain or Close
	EndMaxAge       EndReason = "max-age"       // Limits.Age
	EndExpired      EndReason = "expired"       // Grant.Expires
	EndRevoked      EndReason = "revoked"       // EndStreams
	EndDeadline     EndReason = "deadline"      // a middleware ended the request's context
	EndOverload     EndReason = "overload"      // Limits.Streams, or Authorize answered 503
	EndStartTimeout EndReason = "start-timeout" // Timeouts.Start
	EndLog          EndReason = "log"           // the log failed or was closed
)

// endError is the cause for which a stream is ended by the server.
type endError struct{ reason EndReason }

func (e *endError) Error() string { return "sse: stream ended: " + string(e.reason) }

// reasonFor tells from the last error of a stream why it ended.
func reasonFor(ctx context.Context, err error) EndReason {
	if e, ok := errors.AsType[*endError](err); ok {
		return e.reason
	}
	if w, ok := errors.AsType[*writeError](err); ok {
		if e, ok := errors.AsType[*endError](context.Cause(ctx)); ok {
			return e.reason // it was ended while the client did not read
		}
		if w.late {
			return EndWriteTimeout
		}
		return EndClient
	}
	if ctx.Err() == nil || errors.Is(err, cdc.ErrClosed) {
		return EndLog
	}
	// net/http gives no other cause when a client leaves.
	if context.Cause(ctx) != context.Canceled { //nolint:errorlint // one that wraps it is a middleware's
		return EndDeadline
	}
	return EndClient
}
