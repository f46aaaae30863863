package cdc

import (
	"context"
	"errors"
	"fmt"
)

// Receipt says where appended events are.
type Receipt struct {
	Epoch string
	// Seqs has the seq of each event, in the order of the arguments. A seq
	// names its event; it is no proof that all seqs below it are decided.
	Seqs []uint64
	// Duplicate is true if nothing was added, because the log already held
	// every event's ID.
	Duplicate bool
}

// Cursor names the last of the appended events, without its tag. It can be
// followed from at once.
func (r Receipt) Cursor() Cursor {
	c := Cursor{Epoch: r.Epoch}
	if n := len(r.Seqs); n > 0 {
		c.Seq = r.Seqs[n-1]
	}
	return c
}

// Appender is a log that can be written to. Use [Append] to reach it.
type Appender interface {
	// Append adds the events in order, all or none, and returns when they are
	// as durable as the store makes them. Seq and Time are assigned by the
	// log, whatever the arguments hold. The arguments are copied before it
	// returns. An event whose ID the log still holds is not added again: its
	// seq is that of the first. An append of nothing is no error and changes
	// nothing; its receipt has no seqs and is no duplicate. [ErrUnknownOutcome]
	// wraps a failure that may have come after the commit. See [CheckAppend] for
	// what is refused.
	Append(ctx context.Context, events ...Event) (Receipt, error)
}

// Trimmer is a log that can forget its oldest events. Use [Trim] to reach it.
type Trimmer interface {
	// Trim removes every event at or below seq, but nothing above the head,
	// and raises the floor in the same transaction. Many are removed in
	// several transactions of at most about 1,000 events, oldest first, so
	// that writers get their turn. It returns how many events were removed,
	// also with an error. A seq at or below the floor, and so 0, removes
	// nothing and is no error; any higher one is legal.
	Trim(ctx context.Context, seq uint64) (removed int, err error)
}

// Renewer is a log that can be given a new epoch. Use [Renew] to reach it.
type Renewer interface {
	// Renew replaces the epoch by a new random one and returns it. Events and
	// seqs stay. Every open stream gets a [*ResetError], every older cursor is
	// foreign. It is what a restore from a backup has to end with.
	Renew(ctx context.Context) (epoch string, err error)
}

// FilterReader is a source that can leave out events by itself, by an index
// perhaps. [Follow], [Hub] and [ReadFiltered] use it.
type FilterReader interface {
	// ReadFiltered is [Source.Read] without the events that f does not match;
	// limit counts those that match. It owes all that Read does, and a Tag
	// where Next is an event that was left out. f is exact: it compares bytes,
	// and a value that the store cannot hold matches nothing. Nothing is written
	// to f. An error that is [errors.ErrUnsupported] declines: reading all would
	// be no slower, and is what the caller then does.
	ReadFiltered(ctx context.Context, after Cursor, limit int, f Filter) (Page, error)
}

// Append appends to the log, or to the one it wraps; if neither is an
// [Appender] the error is [errors.ErrUnsupported].
func Append(ctx context.Context, log Log, events ...Event) (Receipt, error) {
	a, ok := capability[Appender](log)
	if !ok {
		return Receipt{}, unsupported(log, "Append")
	}
	return a.Append(ctx, events...)
}

// Trim removes events at or below seq from the log, or from the one it wraps;
// if neither is a [Trimmer] the error is [errors.ErrUnsupported].
func Trim(ctx context.Context, log Log, seq uint64) (removed int, err error) {
	t, ok := capability[Trimmer](log)
	if !ok {
		return 0, unsupported(log, "Trim")
	}
	return t.Trim(ctx, seq)
}

// Renew gives the log, or the one it wraps, a new epoch; if neither is a
// [Renewer] the error is [errors.ErrUnsupported].
func Renew(ctx context.Context, log Log) (epoch string, err error) {
	r, ok := capability[Renewer](log)
	if !ok {
		return "", unsupported(log, "Renew")
	}
	return r.Renew(ctx)
}

// ReadFiltered reads with the filter pushed down if the source is a
// [FilterReader]. Otherwise it reads one page and filters that, so Events may
// be empty though Next advanced. It does not look into a wrapper, which may
// give out other events than the log that it wraps.
func ReadFiltered(ctx context.Context, src Source, after Cursor, limit int, f Filter) (Page, error) {
	page, err := readPushedDown(ctx, src, after, limit, f)
	return page.only(f), err
}

// readPushedDown reads with the filter pushed down if the source does that,
// and otherwise without it.
func readPushedDown(ctx context.Context, src Source, after Cursor, limit int, f Filter) (Page, error) {
	if fr, ok := filterReader(src, f); ok {
		page, err := fr.ReadFiltered(ctx, after, limit, f)
		if !errors.Is(err, errors.ErrUnsupported) {
			return page, err
		}
	}
	return src.Read(ctx, after, limit)
}

// filterReader returns the source if it can leave out by itself what the
// filter does not match, which must be something.
func filterReader(src Source, f Filter) (FilterReader, bool) {
	fr, ok := src.(FilterReader)
	return fr, ok && !f.Empty()
}

// capability finds T in the source or in what it wraps.
func capability[T any](src Source) (found T, ok bool) {
	for src != nil {
		if found, ok = src.(T); ok {
			return found, true
		}
		src = unwrap(src)
	}
	return found, false
}

// unwrap returns what a wrapper stands on, nil for others: a wrapper of a log
// has a method Unwrap() Log, and what makes a log of a source Unwrap() Source.
func unwrap(src Source) Source {
	switch w := src.(type) {
	case interface{ Unwrap() Log }:
		return w.Unwrap()
	case interface{ Unwrap() Source }:
		return w.Unwrap()
	}
	return nil
}

func unsupported(src Source, what string) error {
	return fmt.Errorf("cdc: %T has no %s: %w", src, what, errors.ErrUnsupported)
}
