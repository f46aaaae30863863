package jetstreamlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gapless-go/gapless/cdc"
)

// Codes of the server that nats.go has no name for.
const (
	codeNotLeader         jetstream.ErrorCode = 10009
	codeInsufficient      jetstream.ErrorCode = 10023
	codeStoreFailed       jetstream.ErrorCode = 10077
	codeWrongLastConstant jetstream.ErrorCode = 10164
	codeIncompleteBatch   jetstream.ErrorCode = 10176 // also one of too many at a time
)

func code(err error) jetstream.ErrorCode {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode
	}
	return 0
}

// conflict reports whether the server refused an ID that the stream has, or is
// about to have.
func conflict(err error) bool {
	c := code(err)
	return c == jetstream.JSErrCodeStreamWrongLastSequence || c == codeWrongLastConstant
}

// transient reports whether the same question may be answered a moment later.
func transient(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503 && api.ErrorCode != codeStoreFailed || api.ErrorCode == codeIncompleteBatch || api.ErrorCode == codeNotLeader
	}
	for _, e := range []error{
		errNoAnswer, errInFlight, nats.ErrNoResponders, nats.ErrTimeout, nats.ErrConnectionReconnecting,
		nats.ErrDisconnected, nats.ErrStaleConnection, jetstream.ErrJetStreamNotEnabled, errBehind,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

var (
	errNoAnswer = errors.New("no answer from the server")
	errBehind   = errors.New("the servers that answer have not got what the stream's leader has, or the leader has no quorum")
)

// explain adds what to do about an error. The chain stays.
func explain(err error) error {
	switch {
	case errors.Is(err, cdc.ErrClosed):
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrInvalidConnection):
		return fmt.Errorf("%w: its connection was closed by the application: %w", cdc.ErrClosed, err)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: %w", cdc.ErrDeleted, err)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the stream has no leader, or JetStream is not enabled for this account: see nats server report jetstream", err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: raise max_payload in the server's configuration", err)
	case code(err) == codeInsufficient:
		return fmt.Errorf("%w: the server has no room left; nothing was appended: trim the log, or raise its limits", err)
	}
	return err
}

// retry asks until there is an answer, but not longer than the timeout.
func retry[T any](ctx context.Context, timeout time.Duration, ask func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	defer cancel()
	wait := newBackoff()
	for {
		v, err := attempt(limited, min(timeout, attemptTimeout), ask)
		if err == nil || !transient(err) || ctx.Err() != nil {
			return v, err
		}
		if wait.Wait(limited) != nil {
			return v, err
		}
	}
}

// attemptTimeout is how long one answer is waited for: a server that is killed
// never gives it, and the next one has to be asked.
const attemptTimeout = 2 * time.Second

// attempt asks once.
func attempt[T any](ctx context.Context, timeout time.Duration, ask func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	defer cancel()
	v, err := ask(limited)
	if err != nil && limited.Err() != nil && !errors.Is(err, cdc.ErrUnknownOutcome) {
		err = context.Cause(limited)
	}
	return v, err
}
