package broken

import (
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
)

// Bugs of the live side that only an unusual commit shows.
const (
	WaitsForAll       Bug = "nothing readable while any transaction is open"       // a head that stands still until all is quiet
	FirstOfAppend     Bug = "first event of an append handed over"                 // rows[0]
	RestAtNextCommit  Bug = "last event of an append comes with the next"          // a reader of frames that waits for the next one's start
	AppendCutAt32     Bug = "at most 32 events of an append handed over"           // an array of that size
	KnownPublished    Bug = "known events handed over again"                       // the arguments published for what was added
	PartlyKnownSilent Bug = "append with a known event wakes nobody"               // if receipt.Duplicate, meant for all and set by one
	LiveDedupes       Bug = "events of the same contents handed over once"         // distinct-until-changed
	ContentsAreID     Bug = "events of the same contents taken for one"            // a hash of the contents as the ID
	CancelAfterTake   Bug = "events taken and then the context looked at"          // a receive, and then ctx.Err()
	SubscribeLeaves   Bug = "subscription taken back when its context ends late"   // a cleanup that runs though no error is returned
	RollbackOwnHandle Bug = "rollback wakes its own handle only"                   // NOTIFY in the commit of an append, and nowhere else
	DropOldestOfMany  Bug = "drop oldest of 10,000"                                // a ring that is large enough for every test
	Unbounded         Bug = "buffer without a bound"                               // append(queue, events...)
	Conflated         Bug = "unread events of a key replaced"                      // conflation: the latest of each key
	HeldWhileUnread   Bug = "what comes while a subscription is unread is dropped" // a flag that is a queue of one
)

func liveMutants() []Mutant {
	return []Mutant{
		{Bug: WaitsForAll, Layer: Source, Kills: "Live/BelowNewer"},
		{Bug: FirstOfAppend, Layer: Subscriber, Kills: "Live/LoneAppend"},
		{Bug: RestAtNextCommit, Layer: Subscriber, Kills: "Live/LoneAppend"},
		{Bug: AppendCutAt32, Layer: Subscriber, Kills: "Live/LoneAppend"},
		{Bug: KnownPublished, Layer: Subscriber, Kills: "Live/PartlyKnown"},
		{Bug: PartlyKnownSilent, Layer: Subscriber, Kills: "Live/PartlyKnown"},
		{Bug: LiveDedupes, Layer: Subscriber, Kills: "Live/Identical"},
		{Bug: ContentsAreID, Layer: Source, Kills: "Live/Identical"},
		{Bug: CancelAfterTake, Layer: Subscriber, Kills: "Live/CancelRaces"},
		{Bug: SubscribeLeaves, Layer: Subscriber, Kills: "Live/SubscribeContextEnds"},
		{Bug: RollbackOwnHandle, Layer: Subscriber, Kills: "Live/AcrossHandles"},
		{Bug: DropOldestOfMany, Layer: Subscriber, Kills: "Bounded/FarAboveAnyBuffer"},
		{Bug: Unbounded, Layer: Subscriber, Kills: "Bounded/DeadCosts", Real: true},
		{Bug: Conflated, Layer: Subscriber, Kills: "Live/LoneAppend"},
		{Bug: HeldWhileUnread, Layer: Subscriber, Kills: "Live/BetweenNexts"},
	}
}

// announce tells the subscriptions what became stable by the end of a
// transaction.
func (d *Disk) announce(by *Store, stable []cdc.Event, commit, known bool) {
	d.restarts = 0
	n := len(stable)
	switch {
	case d.bug == PartlyKnownSilent && known:
		return
	case d.bug == FirstOfAppend && n > 1:
		stable = stable[:1]
	case d.bug == AppendCutAt32 && n > 32:
		stable = stable[:32]
	case d.bug == RestAtNextCommit:
		stable = slices.Concat(d.held, stable)
		d.held = nil
		if n > 1 {
			stable, d.held = stable[:len(stable)-1], stable[len(stable)-1:]
		}
	case d.bug == RollbackOwnHandle && !commit:
		for sub := range by.subs {
			sub.hand(stable)
		}
		return
	}
	d.publish(by, d.byWriter(stable))
}

// publishAgain hands over the events of a receipt.
func (d *Disk) publishAgain(by *Store, r cdc.Receipt) {
	for _, seq := range r.Seqs {
		if i := d.search(seq); i > 0 && d.events[i-1].Seq == seq {
			d.publish(by, d.events[i-1:i:i])
		}
	}
}

func contents(e cdc.Event) string {
	return fmt.Sprintf("%q %q %q %q %v", e.Topic, e.Type, e.Key, e.Data, e.Meta)
}

// sameContents finds an event without an ID that differs in nothing.
func (s *Store) sameContents(e cdc.Event) (seq uint64, same bool) {
	if s.bug != ContentsAreID || e.ID != "" || e.Type == "" {
		return 0, false
	}
	i := slices.IndexFunc(s.disk.events, func(o cdc.Event) bool { return o.ID == "" && contents(o) == contents(e) })
	if i < 0 {
		return 0, false
	}
	return s.disk.events[i].Seq, true
}

// room is how many events a subscription holds.
func (s *subscription) room() int {
	switch s.store.bug {
	case DropOldestOfMany:
		return 10_000
	case Unbounded:
		return 1 << 30
	}
	return bufferSize
}

// odd is what a subscription makes of events that it is handed.
func (s *subscription) odd(events []cdc.Event) []cdc.Event {
	switch s.store.bug {
	case LiveDedupes:
		last := ""
		if n := len(s.buffer); n > 0 {
			last = contents(s.buffer[n-1])
		}
		return slices.DeleteFunc(slices.Clone(events), func(e cdc.Event) bool {
			was := last
			last = contents(e)
			return e.Type != "" && was == last
		})
	case HeldWhileUnread:
		if len(s.buffer) > 0 {
			return nil
		}
	case Conflated:
		for _, e := range events {
			s.buffer = slices.DeleteFunc(s.buffer, func(o cdc.Event) bool { return e.Key != "" && o.Key == e.Key })
		}
		var last []cdc.Event
		for i, e := range events {
			if e.Key == "" || !slices.ContainsFunc(events[i+1:], func(o cdc.Event) bool { return o.Key == e.Key }) {
				last = append(last, e)
			}
		}
		return last
	}
	return events
}
