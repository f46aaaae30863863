package broken

import (
	"context"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of a renewal, of reopening, and of numbers.
const (
	EpochToggles      Bug = "epoch alternates"                           // A and B, as the halves of a pair of replicas
	RenewReturnsOld   Bug = "old epoch returned by Renew"                // a value read before the update
	ReceiptEpochOld   Bug = "receipt names the epoch of the beginning"   // an epoch kept in the struct
	RenewResetsFloor  Bug = "new epoch resets the floor"                 // the row of the bounds written anew
	RenewNumbersAnew  Bug = "new epoch numbers from the rows"            // MAX(seq) of a log that was trimmed to nothing
	RenewTellsHalf    Bug = "every second subscription told"             // a list that is changed while it is walked
	RenewTellsIdle    Bug = "subscription with unread events not told"   // a final error that only an empty queue takes
	RenewOwnHandle    Bug = "renewal told to its own handle only"        // subscriptions in memory
	EpochPerHandle    Bug = "epoch by handle"                            // an epoch read when the store was opened
	RenewToldLate     Bug = "renewal whose context ended told to nobody" // the look at the context between commit and broadcast
	RenewInSteps      Bug = "new epoch in steps"                         // rows copied into a new table, and the names changed at the end
	CursorOverflows   Bug = "cursor above 2^63 taken for the beginning"  // int64(after.Seq)
	CursorCutTo32     Bug = "cursor cut to 32 bits"                      // int(after.Seq) where int is short
	FutureBeforeEpoch Bug = "foreign cursor told future"                 // the checks in another order

	LastFromRows     Bug = "last from rows on restart"                 // MAX(seq): a rollback at the tail is forgotten
	HeadFromRowsThen Bug = "head from rows on restart"                 // the same for the head alone
	FloorFromRows    Bug = "floor from rows on restart"                // MIN(seq) - 1: a hole above the floor is taken for trimmed
	HeldBackLost     Bug = "event that a rollback let through is lost" // written when its own transaction commits, or never
	IDsGoWithTwo     Bug = "ids forgotten at the second restart"       // a log of IDs that is read and not written again
	EpochNewIfEmpty  Bug = "epoch new on restart while empty"          // made at the first append
	AppendInSteps    Bug = "append written in pieces"                  // File: a line for each event
	RenewWritten     Bug = "renewal written in steps"                  // File: DELETE, then INSERT
)

func renewMutants() []Mutant {
	return []Mutant{
		{Bug: EpochToggles, Layer: Source, Kills: "Resumable/EpochsDiffer"},
		{Bug: RenewReturnsOld, Layer: Source, Kills: "Resumable/EpochsDiffer"},
		{Bug: ReceiptEpochOld, Layer: Source, Kills: "Resumable/EpochsDiffer"},
		{Bug: RenewResetsFloor, Layer: Source, Kills: "Resumable/EpochAfterTrim"},
		{Bug: RenewNumbersAnew, Layer: Source, Kills: "Resumable/EpochAfterTrim"},
		{Bug: RenewTellsHalf, Layer: Subscriber, Kills: "Resumable/EpochEndsEvery"},
		{Bug: RenewTellsIdle, Layer: Subscriber, Kills: "Resumable/EpochEndsEvery"},
		{Bug: RenewOwnHandle, Layer: Subscriber, Kills: "Resumable/EpochSecondHandle"},
		{Bug: EpochPerHandle, Layer: Source, Kills: "Resumable/EpochSecondHandle"},
		{Bug: RenewToldLate, Layer: Subscriber, Kills: "Resumable/EpochContextEnds"},
		{Bug: RenewInSteps, Layer: Source, Kills: "Resumable/EpochContextEnds"},
		{Bug: CursorOverflows, Layer: Source, Kills: "Resumable/FarCursor"},
		{Bug: CursorCutTo32, Layer: Source, Kills: "Resumable/FarCursor"},
		{Bug: FutureBeforeEpoch, Layer: Source, Kills: "Resumable/FarCursor"},
	}
}

// reopenMutants forget at a restart or a kill what nothing else shows.
func reopenMutants() []Mutant {
	return []Mutant{
		{Bug: LastFromRows, Layer: Source, Kills: "Durable/ReopenRolledBack"},
		{Bug: HeadFromRowsThen, Layer: Source, Kills: "Durable/ReopenRolledBack"},
		{Bug: FloorFromRows, Layer: Source, Kills: "Durable/ReopenRolledBack"},
		{Bug: HeldBackLost, Layer: Source, Kills: "Durable/ReopenUndecided"},
		{Bug: IDsGoWithTwo, Layer: Source, Kills: "Durable/ReopenOften"},
		{Bug: EpochNewIfEmpty, Layer: Source, Kills: "Durable/ReopenOften"},
		{Bug: AppendInSteps, Layer: File, Kills: "Durable/KilledAppending", Real: true},
		{Bug: RenewWritten, Layer: File, Kills: "Durable/KilledRenewing", Real: true},
	}
}

// seen are the bounds as the handle knows them; the disk is locked.
func (s *Store) seen() cdc.Bounds {
	b := s.disk.bounds
	switch s.bug {
	case EpochPerHandle:
		b.Epoch = s.opened.Epoch
	case FloorPerHandle:
		b.Floor = s.opened.Floor
	}
	return b
}

func (s *Store) epochOfReceipt() string {
	switch s.bug {
	case ReceiptEpochOld:
		return s.disk.first
	case ReceiptEpochSeen:
		return s.opened.Epoch
	}
	return s.disk.bounds.Epoch
}

// spoilRenewed is what goes wrong with the bounds of a new epoch.
func (s *Store) spoilRenewed(old string) {
	d := s.disk
	switch s.bug {
	case EpochToggles:
		d.bounds.Epoch = "b"
		if old == "b" {
			d.bounds.Epoch = "a"
		}
	case RenewLoses:
		d.events, d.bounds.Floor, d.ids = nil, d.bounds.Head, map[string]uint64{}
	case RenewForgetsIDs:
		d.ids = map[string]uint64{}
	case RenewResetsFloor:
		d.bounds.Floor = 0
	case RenewNumbersAnew:
		d.bounds.Last = max(lastSeq(d.events), d.bounds.Floor)
		if len(d.events) == 0 {
			d.bounds = cdc.Bounds{Epoch: d.bounds.Epoch}
		}
		d.bounds.Head = d.bounds.Last
	}
}

// tellRenewed ends the subscriptions.
func (d *Disk) tellRenewed(by *Store) {
	n := 0
	for handle := range d.handles {
		for sub := range handle.subs {
			n++
			switch {
			case d.bug == RenewSilent,
				d.bug == RenewTellsHalf && n%2 == 0,
				d.bug == RenewTellsIdle && len(sub.buffer) > 0,
				d.bug == RenewOwnHandle && handle != by:
				continue
			}
			b := d.bounds
			if d.bug == RenewFloorUntold {
				b.Floor = 0
			}
			sub.fail(b.Reset(cdc.ReasonEpochChanged, ""))
		}
	}
	if by.bug == EpochPerHandle {
		by.opened = d.bounds
	}
}

// renewInSteps takes the events away, and puts them back if its context lets it.
func (s *Store) renewInSteps(ctx context.Context) error {
	d := s.disk
	events := d.events
	d.events = nil
	if d.journal != nil {
		d.removed(d.bounds.Head)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d.events = events
	d.changed(events)
	return nil
}

// oddRestart is more of what goes wrong when a store is opened again.
func (d *Disk) oddRestart() {
	d.restarts++
	switch {
	case d.bug == LastFromRows:
		d.bounds.Last = max(lastSeq(d.events), d.bounds.Floor)
		d.bounds.Head = d.bounds.Last
	case d.bug == HeadFromRowsThen:
		d.bounds.Head = max(lastSeq(d.events), d.bounds.Floor)
	case d.bug == FloorFromRows && len(d.events) > 0:
		d.bounds.Floor = d.events[0].Seq - 1
	case d.bug == HeldBackLost && len(d.unsaved) > 0:
		d.events = d.events[:len(d.events)-len(d.unsaved)]
		d.unsaved = nil
	case d.bug == IDsGoWithTwo && d.restarts > 1:
		d.ids = map[string]uint64{}
	case d.bug == EpochNewIfEmpty && d.bounds.Last == 0:
		d.bounds.Epoch = cdc.NewEpoch()
	}
}
