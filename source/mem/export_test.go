package memlog

import (
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// Rewind takes the log back to what it held at seq. What subscriptions hold
// stays, as on the way from a server that is gone.
func (l *Log) Rewind(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = slices.DeleteFunc(slices.Clone(l.events), func(e cdc.Event) bool { return e.Seq > seq })
	l.bounds.Head, l.bounds.Last = seq, seq
	for id, at := range l.ids {
		if at > seq {
			delete(l.ids, id)
		}
	}
}
