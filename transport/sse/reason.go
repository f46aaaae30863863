package sse

import (
	"context"
	"errors"
	"os"

	"github.com/gapless-go/gapless/cdc"
)

// EndReason says why a stream ended.
type EndReason string

// The reasons. All but the first two are told to the client by cdc.reconnect.
const (
	EndClient       EndReason = "client"        // the client has gone
	EndWriteTimeout EndReason = "write-timeout" // the client did not read within Options.WriteTimeout
	EndDrain        EndReason = "drain"         // Drain or Close
	EndMaxAge       EndReason = "max-age"       // Options.MaxAge
	EndExpired      EndReason = "expired"       // Grant.Expires
	EndOverload     EndReason = "overload"      // Options.MaxStreams
	EndStartTimeout EndReason = "start-timeout" // Options.StartTimeout
	EndLog          EndReason = "log"           // the log failed or was closed
)

// ended is the cause for which a stream is ended by the server.
type ended struct{ reason EndReason }

func (e *ended) Error() string { return "sse: stream ended: " + string(e.reason) }

// reasonFor tells from the last error of a stream why it ended.
func reasonFor(ctx context.Context, err error) EndReason {
	if e, ok := errors.AsType[*ended](err); ok {
		return e.reason
	}
	if _, ok := errors.AsType[*writeError](err); ok {
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return EndWriteTimeout
		}
		if e, ok := errors.AsType[*ended](context.Cause(ctx)); ok {
			return e.reason // it was ended while the client did not read
		}
		return EndClient
	}
	if ctx.Err() != nil && !errors.Is(err, cdc.ErrClosed) {
		return EndClient
	}
	return EndLog
}
