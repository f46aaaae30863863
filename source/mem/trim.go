package memlog

import (
	"context"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// Trim implements [cdc.Trimmer].
func (l *Log) Trim(ctx context.Context, seq uint64) (int, error) {
	if err := l.enter(ctx); err != nil {
		return 0, err
	}
	defer l.mu.Unlock()
	seq = min(seq, l.bounds.Head)
	if seq <= l.bounds.Floor {
		return 0, nil
	}
	l.bounds.Floor = seq
	n := l.search(seq)
	for _, e := range l.events[:n] {
		delete(l.ids, e.ID)
	}
	l.events = slices.Clone(l.events[n:]) // frees the memory of the others
	return n, nil
}

// Renew implements [cdc.Renewer].
func (l *Log) Renew(ctx context.Context) (string, error) {
	if err := l.enter(ctx); err != nil {
		return "", err
	}
	defer l.mu.Unlock()
	old := l.bounds
	l.bounds.Epoch = cdc.NewEpoch()
	for s := range l.subs {
		s.fail(l.bounds.Reset(cdc.ReasonEpochChanged, cdc.Cursor{Epoch: old.Epoch, Seq: old.Head}.String()))
	}
	return l.bounds.Epoch, nil
}
