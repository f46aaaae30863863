package conformance

import (
	"slices"
	"sync"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
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

func sameID(t *test) {
	log := t.open()
	s := t.Follow("live", log, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	events := t.Events(4)
	first := t.Append(log, events...)
	t.Fill(log, 2)
	head := t.Bounds(log).Head
	for i, e := range events {
		e.Data = []byte("another content")
		again := t.Append(log, e)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs[i:i+1]), "ID %q, first appended as %d, appended again: receipt %+v", e.ID, first.Seqs[i], again)
	}
	all := t.Append(log, events...)
	t.Want(all.Duplicate && slices.Equal(all.Seqs, first.Seqs), "the same append again: receipt %+v, first was %+v", all, first)
	got := t.ReadAll(log, cdc.Cursor{Epoch: first.Epoch, Seq: head}, 100)
	t.Want(len(got) == 0, "appending known IDs added %s", trial.EventsText(got))
	t.Fence(log, s)
	t.Want(len(s.Events()) == 7, "a stream delivered %d events, 7 have an ID of their own", len(s.Events()))
	t.Record(log)
}

func partlyKnown(t *test) {
	log := t.open()
	first := t.Append(log, t.Events(2)...)
	known := t.ReadAll(log, cdc.Cursor{Epoch: first.Epoch}, 10)
	mixed := []cdc.Event{t.Event(), known[1], t.Event(), known[0]}
	r := t.Append(log, mixed...)
	got := t.ReadAll(log, cdc.Cursor{Epoch: first.Epoch}, 10)
	t.Want(!r.Duplicate && len(got) == 4 && r.Seqs[1] == first.Seqs[1] && r.Seqs[3] == first.Seqs[0], "two known and two new IDs: receipt %+v, the log holds %s", r, trial.EventsText(got))
	t.Record(log)
}

func withinOne(t *test) {
	log := t.open()
	e := t.Event()
	r := t.Append(log, e, t.Event(), e)
	got := t.ReadAll(log, cdc.Cursor{Epoch: r.Epoch}, 10)
	t.Want(len(got) == 2 && r.Seqs[0] == r.Seqs[2] && !r.Duplicate, "an ID twice in one append: receipt %+v, the log holds %s", r, trial.EventsText(got))
	t.Record(log)
}

func withoutID(t *test) {
	log := t.open()
	e := cdc.Event{Type: "same", Data: []byte("same")}
	for range 3 {
		r := t.Append(log, e, e)
		t.Want(!r.Duplicate && r.Seqs[0] != r.Seqs[1], "two events without an ID got the receipt %+v", r)
	}
	t.Want(len(t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)) == 6, "six events without an ID were appended, the log holds another number")
	t.Record(log)
}

func concurrentIDs(t *test) {
	log := t.open()
	events := t.Events(12)
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range events {
				if _, err := t.TryAppend(log, events[(i+3*w)%len(events)]); err != nil {
					t.NoteAppendFailed(err)
					return
				}
			}
		})
	}
	group.Wait()
	got := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)
	t.Want(len(got) == len(events), "four writers appended the same %d IDs, the log holds %d events", len(events), len(got))
	t.Record(log)
}

func rolledBackID(t *test) {
	log := t.open()
	events := t.Events(2)
	tx := t.BeginTraced(log)
	if err := tx.Append(t.Ctx, events...); err != nil {
		t.StoreFailed("Tx.Append", err)
	}
	if err := tx.Rollback(t.Ctx); err != nil {
		t.StoreFailed("Tx.Rollback", err)
	}
	r := t.Append(log, events...)
	got := t.ReadAll(log, cdc.Cursor{Epoch: r.Epoch}, 10)
	t.Want(!r.Duplicate && len(got) == 2, "IDs of a rolled-back transaction were appended: receipt %+v, the log holds %s", r, trial.EventsText(got))
	t.Record(log)
}

func trimmedID(t *test) {
	log := t.open()
	e := t.Event()
	old := t.Append(log, e)
	t.Fill(log, 2)
	t.trim(log, old.Seqs[0])
	r, err := t.h.append(t.Ctx, log.Log, e) // not recorded: the ID is there twice, rightly
	if err != nil {
		t.StoreFailed("Append", err)
	}
	t.Want(!r.Duplicate && r.Seqs[0] > old.Seqs[0], "an ID whose event was trimmed got the receipt %+v, its first seq was %d", r, old.Seqs[0])
}

func reopenedID(t *test) {
	log := t.open()
	events := t.Events(7)
	first := t.Append(log, events...)
	t.FillFast(log, floodSize)
	for n := range 2 {
		if n > 0 {
			t.trim(log, first.Seqs[2])
			events, first.Seqs = events[3:], first.Seqs[3:]
		}
		log = t.reopen(log)
		for i, e := range events {
			again := t.Append(log, e)
			t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs[i:i+1]), "after reopening the ID of event %d got the receipt %+v", first.Seqs[i], again)
		}
		again := t.Append(log, events...)
		t.Want(again.Duplicate && slices.Equal(again.Seqs, first.Seqs), "after reopening the same IDs got the receipt %+v, first was %+v", again, first)
	}
}
