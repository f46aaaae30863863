package jetstreamlog

import (
	"fmt"

	"github.com/gapless-go/gapless/cdc"
)

// What one Append may hold at most. More is a [*cdc.BatchTooLargeError].
const (
	// MaxBatchEvents is what the server takes in one atomic batch.
	MaxBatchEvents = 1000

	// MaxBatchBytes is the limit of all their sizes, as counted by
	// [cdc.Event.Size]: 64 MiB. The server holds a batch apart until it is
	// complete.
	MaxBatchBytes = 64 << 20
)

// Options of a [Log]; nil means the defaults.
type Options struct {
	// MaxEventBytes is the largest event accepted, as counted by
	// [cdc.Event.Size]. 0 means [cdc.DefaultMaxEventBytes]; negative is
	// refused, and more than the server's max_payload. An event whose message
	// is larger than that is refused as well: an event has some 40 bytes more
	// in its message, and texts that JSON escapes have more.
	MaxEventBytes int

	// Replicas is how many servers keep the stream: 1, 3 or 5. 0 means 1 for a
	// stream that is made, and any number for one that exists; otherwise one
	// that has another number is refused.
	Replicas int
}

func (o *Options) check(maxPayload int64) error {
	switch {
	case o.MaxEventBytes < 0 || int64(o.MaxEventBytes) > maxPayload:
		return fmt.Errorf("Options.MaxEventBytes is %d: use 0 to %d, which is the server's max_payload", o.MaxEventBytes, maxPayload)
	case o.Replicas < 0:
		return fmt.Errorf("Options.Replicas is %d: it must not be negative", o.Replicas)
	}
	if o.MaxEventBytes == 0 {
		o.MaxEventBytes = cdc.DefaultMaxEventBytes
	}
	return nil
}
