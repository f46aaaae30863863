package conformance

import (
	"slices"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

func idempotentCases() []Case {
	g := verify.Idempotent
	return []Case{
		{Guarantee: g, Situation: "SameID", Sentence: "appending an ID again returns the first seq, says so, and adds nothing", run: sameID},
		{Guarantee: g, Situation: "PartlyKnown", Sentence: "of an append with known and new IDs only the new events are added", run: partlyKnown},
		{Guarantee: g, Situation: "WithinOne", Sentence: "an ID twice in one append is one event", run: withinOne},
		{Guarantee: g, Situation: "NoID", Sentence: "events without an ID are never taken for each other", run: withoutID},
		{Guarantee: g, Situation: "Concurrent", Sentence: "the same IDs from several writers at once are appended once", run: concurrentIDs},
		{Guarantee: g, Situation: "RolledBack", Sentence: "an ID of a rolled-back transaction can be appended", needs: []need{needBegin}, run: rolledBackID},
		{Guarantee: g, Situation: "Trimmed", Sentence: "an ID is forgotten with its event", run: trimmedID},
		{Guarantee: g, Situation: "Reopened", Sentence: "IDs are known after reopening: an append whose answer was lost can be retried", needs: []need{needReopen}, run: reopenedID},
	}
}

func sameID(t *trial) {
	log := t.open()
	s := t.follow("live", log, cdc.Beginning, quiet())
	s.live()
	events := t.eventsN(4)
	first := t.append(log, events...)
	t.fill(log, 2)
	head := t.bounds(log).Head
	for i, e := range events {
		e.Data = []byte("another content")
		again := t.append(log, e)
		t.want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs[i:i+1]), "ID %q, first appended as %d, appended again: receipt %+v", e.ID, first.Seqs[i], again)
	}
	all := t.append(log, events...)
	t.want(all.Duplicate && slices.Equal(all.Seqs, first.Seqs), "the same append again: receipt %+v, first was %+v", all, first)
	got := t.all(log, cdc.Cursor{Epoch: first.Epoch, Seq: head}, 100)
	t.want(len(got) == 0, "appending known IDs added %s", eventsText(got))
	t.fence(log, s)
	t.want(len(s.got()) == 7, "a stream delivered %d events, 7 have an ID of their own", len(s.got()))
	t.record(log)
}

func partlyKnown(t *trial) {
	log := t.open()
	first := t.append(log, t.eventsN(2)...)
	known := t.all(log, cdc.Cursor{Epoch: first.Epoch}, 10)
	mixed := []cdc.Event{t.event(), known[1], t.event(), known[0]}
	r := t.append(log, mixed...)
	got := t.all(log, cdc.Cursor{Epoch: first.Epoch}, 10)
	t.want(!r.Duplicate && len(got) == 4 && r.Seqs[1] == first.Seqs[1] && r.Seqs[3] == first.Seqs[0], "two known and two new IDs: receipt %+v, the log holds %s", r, eventsText(got))
	t.record(log)
}

func withinOne(t *trial) {
	log := t.open()
	e := t.event()
	r := t.append(log, e, t.event(), e)
	got := t.all(log, cdc.Cursor{Epoch: r.Epoch}, 10)
	t.want(len(got) == 2 && r.Seqs[0] == r.Seqs[2] && !r.Duplicate, "an ID twice in one append: receipt %+v, the log holds %s", r, eventsText(got))
	t.record(log)
}

func withoutID(t *trial) {
	log := t.open()
	e := cdc.Event{Type: "same", Data: []byte("same")}
	for range 3 {
		r := t.append(log, e, e)
		t.want(!r.Duplicate && r.Seqs[0] != r.Seqs[1], "two events without an ID got the receipt %+v", r)
	}
	t.want(len(t.all(log, cdc.Cursor{Epoch: t.bounds(log).Epoch}, 100)) == 6, "six events without an ID were appended, the log holds another number")
	t.record(log)
}

func concurrentIDs(t *trial) {
	log := t.open()
	events := t.eventsN(12)
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range events {
				if _, err := t.tryAppend(log, events[(i+3*w)%len(events)]); err != nil {
					t.appendFailed(err)
					return
				}
			}
		})
	}
	group.Wait()
	got := t.all(log, cdc.Cursor{Epoch: t.bounds(log).Epoch}, 100)
	t.want(len(got) == len(events), "four writers appended the same %d IDs, the log holds %d events", len(events), len(got))
	t.record(log)
}

func rolledBackID(t *trial) {
	log := t.open()
	events := t.eventsN(2)
	tx, err := t.h.Begin(t.ctx, log.Log)
	if err != nil {
		t.broken("Begin", err)
	}
	if err := tx.Append(t.ctx, events...); err != nil {
		t.broken("Tx.Append", err)
	}
	if err := tx.Rollback(t.ctx); err != nil {
		t.broken("Tx.Rollback", err)
	}
	r := t.append(log, events...)
	got := t.all(log, cdc.Cursor{Epoch: r.Epoch}, 10)
	t.want(!r.Duplicate && len(got) == 2, "IDs of a rolled-back transaction were appended: receipt %+v, the log holds %s", r, eventsText(got))
	t.record(log)
}

func trimmedID(t *trial) {
	log := t.open()
	e := t.event()
	old := t.append(log, e)
	t.fill(log, 2)
	t.trim(log, old.Seqs[0])
	r, err := t.h.append(t.ctx, log.Log, e) // not recorded: the ID is there twice, rightly
	if err != nil {
		t.broken("Append", err)
	}
	t.want(!r.Duplicate && r.Seqs[0] > old.Seqs[0], "an ID whose event was trimmed got the receipt %+v, its first seq was %d", r, old.Seqs[0])
}

func reopenedID(t *trial) {
	log := t.open()
	events := t.eventsN(3)
	first := t.append(log, events...)
	log = t.reopen(log)
	again := t.append(log, events...)
	t.want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs), "after reopening the same IDs got the receipt %+v, first was %+v", again, first)
	t.record(log)
}
