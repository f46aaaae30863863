package pebblesource

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gapless-go/gapless/cdc"
)

// Options of [Open]; nil means the defaults.
type Options struct {
	// Pebble are the options of the store; nil means pebble's defaults.
	Pebble *pebble.Options

	// MaxEventBytes is the largest cdc.Event.Size that is accepted, in bytes;
	// 0 means cdc.DefaultMaxEventBytes (1 MiB), less is refused.
	MaxEventBytes int
}

// resolved returns a copy with the defaults filled in.
func (o *Options) resolved() (Options, error) {
	var r Options
	if o != nil {
		r = *o
	}
	if r.MaxEventBytes < 0 {
		return r, fmt.Errorf("Options.MaxEventBytes is %d: give bytes, or 0 for %d", r.MaxEventBytes, cdc.DefaultMaxEventBytes)
	}
	return r, nil
}
