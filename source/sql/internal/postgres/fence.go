package postgres

import "strings"

// fence finds out which numbers of a sequence are decided, though PostgreSQL
// lets transactions commit in another order than they draw numbers in.
//
// An INSERT takes a RowExclusiveLock on its table before it draws a number and
// holds it until its commit is visible. So, if a transaction is not among the
// holders when they are listed, all that it has serial so far is decided, and
// all that it will draw lies above what the sequence's last value was before
// the listing. Each holder therefore gets a lower bound when it is first seen:
// the last value that was read before the previous listing, in which it was
// not. The stable head is the smallest bound of those still listed, or the last
// value that was read before this listing.
type fence struct {
	holders map[string]uint64 // bound of each holder at the latest listing: it drew only above
	before  uint64            // last value read before the latest listing
	stable  uint64
}

// newFenceAt knows that everything up to stable is decided.
func newFenceAt(stable uint64) *fence {
	return &fence{holders: map[string]uint64{}, before: stable, stable: stable}
}

// prepared reports whether the holder is a prepared transaction, which has
// another name than before PREPARE.
func prepared(holder string) bool { return strings.HasPrefix(holder, "-1/") }

// advance takes the sequence's last value and the holders that were listed
// after it was read, and returns the stable head: a statement that begins now
// sees all that will ever be at or below it.
func (f *fence) advance(last uint64, listed []string) uint64 {
	gone := f.lowestOf(listed)
	next := make(map[string]uint64, len(listed))
	stable := last
	for _, h := range listed {
		bound, listedBefore := f.holders[h]
		if !listedBefore {
			bound = f.before
			if prepared(h) { // it may be one of those that are gone
				bound = min(bound, gone)
			}
		}
		next[h] = bound
		stable = min(stable, bound)
	}
	f.holders, f.before = next, last
	f.stable = max(f.stable, stable)
	return f.stable
}

// lowestOf is the lowest bound of the holders that are no longer listed.
func (f *fence) lowestOf(listed []string) uint64 {
	still := make(map[string]bool, len(listed))
	for _, h := range listed {
		still[h] = true
	}
	lowest := f.before
	for h, bound := range f.holders {
		if !still[h] {
			lowest = min(lowest, bound)
		}
	}
	return lowest
}
