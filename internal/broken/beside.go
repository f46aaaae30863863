package broken

import (
	"cmp"
	"context"
	"errors"
	"hash/crc32"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs that show beside something else: another ID, an open transaction,
// another handle, a lag that nobody has heard of yet.
const (
	IDBlankIsNone      Bug = "blank id taken for none"                 // strings.TrimSpace(id) == ""
	IDZeroIsNone       Bug = "id 0 taken for none"                     // a value that is false in the language
	IDQuotesFolded     Bug = "ids with quotes taken for one"           // an escape that is undone once more than done
	IDEndsCleaned      Bug = "ids cleaned as paths"                    // path.Clean, for a key that is a path
	IDDecoded          Bug = "ids decoded"                             // url.PathUnescape
	IDHashedCRC        Bug = "CRC-32 of the id compared"               // a short index
	IDHashedFNV        Bug = "FNV of the id compared"                  // the same
	IDHashedJava       Bug = "hash of 31 of the id compared"           // the same
	IDsBoundedFar      Bug = "last 10,000 ids known"                   // an LRU cache
	IDsForAWeek        Bug = "ids known for a week"                    // the retention of another table
	TrimForgetsLike    Bug = "trim forgets ids that begin like others" // DELETE … WHERE id LIKE ?
	ReceiptKnownEpoch  Bug = "receipt of a known id of the epoch of its event"
	ReceiptEpochSeen   Bug = "receipt names the epoch that Bounds saw" // a field that Bounds keeps
	TooLargeIsData     Bug = "data alone counted as the size"          // len(e.Data) > max
	TooLargeUnnamed    Bug = "too large event not named"               // Index forgotten
	TypesReserved      Bug = "types that begin with cdc refused"       // a prefix without its dot
	AppendInHundreds   Bug = "append of 1,000 in several transactions" // a batch writer
	EpochFolds         Bug = "epoch ignores case"                      // a column with a collation
	TagCut             Bug = "first characters of the tag compared"    // a short column
	HoleAccepted       Bug = "tag at a hole not looked at"             // no row, nothing to compare
	ClosedWrites       Bug = "closed log is written to"                // a look at the flag in the reads alone
	FilterIgnoresCtx   Bug = "filtered read ignores its context"       // the second of two methods
	UnreadableDiverged Bug = "unreadable event at the cursor taken for another"
	UnreadableAccepted Bug = "unreadable event at the cursor taken for the right one"
	BoundsErrorIsZero  Bug = "bounds that cannot be read are zero" // an error that is logged
	ResetNamesLast     Bug = "reset goes on at the last seq"       // Last for Head
	RenewFloorUntold   Bug = "reset of a renewal without the floor"
	RenewLosesOpen     Bug = "new epoch forgets open transactions"        // their rows are of the old epoch
	RenewReuses        Bug = "new epoch numbers from the head"            // the sequence set to what can be read
	RestartLocalTime   Bug = "times of another zone on restart"           // time.UnixMicro
	RestartTopic       Bug = "empty topic named on restart"               // a default of the column
	RestartNoData      Bug = "last event without data lost on restart"    // a length of 0 taken for the end of the file
	RestartNewestIDs   Bug = "newest 1,000 ids known on restart"          // a set that is filled from the last page
	RestartFirstID     Bug = "id of the first event forgotten on restart" // seq > floor + 1
	TrimTakesUnread    Bug = "trim takes unread events"                   // a queue of keys whose events are gone
	TrimEmptiesUnread  Bug = "trim empties the subscriptions"             // a cache that is dropped as a whole
	LagSwallowed       Bug = "lag lost if the context has ended"          // the flag taken before the context is looked at
	LagTwice           Bug = "lag said twice"                             // once by the queue, once by its reader
	LagKeepsNewest     Bug = "newest event kept by a lag"                 // a ring that is not emptied
	LiveByWriter       Bug = "events handed over by transaction"          // the batches of the commits, one after the other
	CloseEndsOthers    Bug = "one handle closes for all"                  // a registry by path
)

func besideMutants() []Mutant {
	of := func(layer Layer, kills string, bugs ...Bug) (list []Mutant) {
		for _, b := range bugs {
			list = append(list, Mutant{Bug: b, Layer: layer, Kills: kills})
		}
		return list
	}
	return slices.Concat(
		of(Source, "Idempotent/DifferentIDs", IDBlankIsNone, IDZeroIsNone, IDQuotesFolded, IDEndsCleaned, IDDecoded, IDHashedCRC, IDHashedFNV, IDHashedJava),
		of(Source, "Idempotent/Remembered", IDsBoundedFar, IDsForAWeek),
		of(Source, "Idempotent/OthersTrimmed", TrimForgetsLike),
		of(Source, "Resumable/EpochsDiffer", ReceiptKnownEpoch, ReceiptEpochSeen),
		of(Source, "Committed/Refused", TooLargeIsData, TooLargeUnnamed),
		of(Source, "Reliable/Texts", TypesReserved),
		of(Source, "Atomic/Thousand", AppendInHundreds),
		of(Source, "Resumable/Foreign", EpochFolds),
		of(Source, "Resumable/Diverged", TagCut),
		of(Source, "Resumable/DivergedHole", HoleAccepted),
		of(Source, "Contained/Closed", ClosedWrites),
		of(Source, "Contained/EndedContext", FilterIgnoresCtx),
		of(Source, "Reliable/EventFails", UnreadableDiverged, UnreadableAccepted),
		of(Source, "Reliable/StoreFails", BoundsErrorIsZero),
		of(Source, "Resumable/BetweenHeadAndLast", ResetNamesLast),
		of(Subscriber, "Resumable/EpochAfterTrim", RenewFloorUntold),
		of(Source, "Resumable/EpochBesideOpen", RenewLosesOpen, RenewReuses),
		of(Source, "Durable/ReopenExact", RestartLocalTime, RestartTopic, RestartNoData),
		of(Source, "Idempotent/Reopened", RestartNewestIDs, RestartFirstID),
		of(Subscriber, "Bounded/CancelledNextKeepsLag", LagSwallowed),
		of(Subscriber, "Bounded/TrimUnread", TrimTakesUnread, TrimEmptiesUnread),
		of(Subscriber, "Bounded/LagOnce", LagTwice, LagKeepsNewest),
		of(Subscriber, "Ordered/Interleaved", LiveByWriter),
		of(Subscriber, "Contained/OtherHandleCloses", CloseEndsOthers),
	)
}

// alikeID is more of what a store compares of an ID.
func (d *Disk) alikeID(id string) string {
	switch d.bug {
	case IDBlankIsNone:
		if strings.TrimSpace(id) == "" {
			return ""
		}
	case IDZeroIsNone:
		if id == "0" {
			return ""
		}
	case IDQuotesFolded:
		return strings.ReplaceAll(id, "''", "'")
	case IDEndsCleaned:
		return strings.TrimRight(id, "/")
	case IDDecoded:
		if decoded, err := url.PathUnescape(id); err == nil {
			return decoded
		}
	case IDHashedCRC:
		return sum32(crc32.ChecksumIEEE([]byte(id)))
	case IDHashedFNV:
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		return sum32(h.Sum32())
	case IDHashedJava:
		h := uint32(0)
		for _, b := range []byte(id) {
			h = 31*h + uint32(b)
		}
		return sum32(h)
	}
	return id
}

func sum32(n uint32) string { return strconv.FormatUint(uint64(n), 16) }

// byWriter sorts the events of a commit by transaction, oldest first.
func (d *Disk) byWriter(events []cdc.Event) []cdc.Event {
	if d.bug != LiveByWriter {
		return events
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b cdc.Event) int { return cmp.Compare(d.writers[a.Seq], d.writers[b.Seq]) })
	return events
}

// forgets reports whether the store has forgotten the ID of the event.
func (d *Disk) forgets(seq uint64) bool {
	switch d.bug {
	case IDsBoundedFar:
		return seq+10_000 < d.bounds.Last
	case IDsForAWeek:
		i := d.search(seq)
		return i > 0 && time.Since(d.events[i-1].Time) > 7*24*time.Hour
	}
	return false
}

// trimmedIDs forgets more than the IDs of the events.
func (d *Disk) trimmedIDs(events []cdc.Event) {
	if d.bug != TrimForgetsLike {
		return
	}
	for id := range d.ids {
		if slices.ContainsFunc(events, func(e cdc.Event) bool { return e.ID != "" && strings.HasPrefix(id, e.ID) }) {
			delete(d.ids, id)
		}
	}
}

// restartBeside is what goes wrong with single events when a store is opened again.
func (d *Disk) restartBeside() {
	last := len(d.events) - 1
	for i := range d.events {
		switch e := &d.events[i]; {
		case d.bug == RestartLocalTime:
			e.Time = e.Time.In(time.FixedZone("here", 3600))
		case d.bug == RestartTopic && e.Topic == "":
			e.Topic = "default"
		}
	}
	if d.bug == RestartNoData && last >= 0 && len(d.events[last].Data) == 0 {
		d.events = d.events[:last]
	}
	for id, seq := range d.ids {
		if d.bug == RestartNewestIDs && seq+1000 < d.bounds.Last || d.bug == RestartFirstID && seq == d.bounds.Floor+1 && seq > 1 {
			delete(d.ids, id)
		}
	}
}

// trimUnread is what a trim does to what subscriptions hold: nothing.
func (d *Disk) trimUnread(seq uint64) {
	for handle := range d.handles {
		for sub := range handle.subs {
			switch d.bug {
			case TrimTakesUnread:
				sub.buffer = slices.DeleteFunc(slices.Clone(sub.buffer), func(e cdc.Event) bool { return e.Seq <= seq })
			case TrimEmptiesUnread:
				sub.buffer = nil
			}
		}
	}
}

// appendInHundreds lets others look between two transactions.
func (s *Store) appendInHundreds(ctx context.Context, events []cdc.Event) (all cdc.Receipt, err error) {
	for part := range slices.Chunk(events, 100) {
		r, err := s.Append(ctx, part...)
		if err != nil {
			return cdc.Receipt{}, err
		}
		all.Epoch, all.Seqs = r.Epoch, append(all.Seqs, r.Seqs...)
		time.Sleep(time.Millisecond)
	}
	return all, nil
}

// closeOthers ends the other handles with this one; the disk is locked.
func (s *Store) closeOthers() {
	if s.bug != CloseEndsOthers {
		return
	}
	for other := range s.disk.handles {
		for sub := range other.subs {
			sub.fail(cdc.ErrClosed)
		}
	}
}

// enterToWrite is enter for a call that changes the store.
func (s *Store) enterToWrite(ctx context.Context) error {
	err := s.enter(ctx)
	if s.bug == ClosedWrites && errors.Is(err, cdc.ErrClosed) {
		s.disk.mu.Lock()
		return nil
	}
	return err
}

// tagged is a cursor whose tag the store takes for that of the event at it.
func (s *Store) tagged(after cdc.Cursor, at *cdc.Event) (cdc.Cursor, *cdc.Event) {
	const part = 4
	switch {
	case at == nil && s.bug == HoleAccepted:
		after.Tag = ""
	case at == nil || after.Tag == "":
	case s.bug == TagCut && len(after.Tag) > part && at.Tag()[:part] == after.Tag[:part]:
		after.Tag = at.Tag()
	case at.Seq != s.disk.bad:
	case s.bug == UnreadableDiverged:
		return after, nil
	case s.bug == UnreadableAccepted:
		after.Tag = at.Tag()
	}
	return after, at
}

// renewBeside is what a renewal does to open transactions.
func (d *Disk) renewBeside() {
	switch d.bug {
	case RenewLosesOpen:
		for _, tx := range d.open {
			tx.events = nil
		}
	case RenewReuses:
		d.bounds.Last = d.bounds.Head
	}
}
