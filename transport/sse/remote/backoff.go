package remote

import (
	"context"
	"errors"
	"time"

	"github.com/gapless-go/gapless/internal/backoff"
)

// retries spaces out the tries of one stream.
type retries struct{ backoff.Backoff }

// retryAfter returns retries that begin with about the given time.
func retryAfter(first time.Duration) retries {
	return retries{backoff.Backoff{Min: first, Max: 30 * time.Second}}
}

// wait waits for as long as the server asked for, if the cause says that it
// did, and at most half as long again; otherwise longer with each failure in a
// row. It ends early with ctx.
func (r *retries) wait(ctx context.Context, cause error) {
	d := r.Next()
	if asked, ok := errors.AsType[*reconnectError](cause); ok && asked.after > 0 {
		d = asked.after/2 + backoff.Jitter(asked.after)
	}
	_ = backoff.Sleep(ctx, d)
}
