package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

func refusedCases() []Case {
	g := verify.Committed
	return []Case{
		{Guarantee: g, Situation: "RefusedTexts", Sentence: "a text that is not UTF-8 or has a NUL, in any field, and a reserved type are refused by an error that names event and field, and nothing of the append is seen", run: refusedTexts},
		{Guarantee: g, Situation: "RefusedInTransaction", Sentence: "the same in a transaction, which is rolled back", needs: []need{needBegin}, run: refusedInTransaction},
		{Guarantee: g, Situation: "ContextEnds", Sentence: "the context of an Append ends at the k-th look at it, for every k: no error means that all of it is there, an error that nothing is, unless it is ErrUnknownOutcome", run: appendContextEnds},
	}
}

// unacceptable are events that [cdc.CheckAppend] refuses, by the field.
func unacceptable() map[string][]cdc.Event {
	bad := map[string][]cdc.Event{"Type": {{Type: cdc.ReservedTypePrefix + "reset"}, {Type: cdc.ReservedTypePrefix}}}
	for _, text := range []string{"\xff", "a\xc3", "\xed\xa0\x80", "\x00", "a\x00b", "end\x00"} {
		bad["ID"] = append(bad["ID"], cdc.Event{ID: text})
		bad["Topic"] = append(bad["Topic"], cdc.Event{Topic: text})
		bad["Type"] = append(bad["Type"], cdc.Event{Type: text})
		bad["Key"] = append(bad["Key"], cdc.Event{Key: text})
		bad["Meta"] = append(bad["Meta"], cdc.Event{Meta: map[string]string{text: "v"}}, cdc.Event{Meta: map[string]string{"k": text}})
	}
	return bad
}

func refusedTexts(t *test) {
	log := t.open()
	t.Fill(log, 1)
	before := t.Bounds(log)
	for field, events := range unacceptable() {
		for n, e := range events {
			args := append(t.Events(n%3), e)
			_, err := t.h.append(t.Ctx, log.Log, args...)
			t.refuses(err, field, n%3, e)
		}
	}
	got := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch, Seq: before.Head}, 10)
	t.Want(len(got) == 0, "%s were read though every append was refused", trial.EventsText(got))
	t.Fill(log, 1)
	t.Record(log)
}

func (t *test) refuses(err error, field string, index int, e cdc.Event) {
	t.Checked()
	if invalid, ok := errors.AsType[*cdc.InvalidEventError](err); !ok || invalid.Field != field || invalid.Index != index {
		t.Fail(verify.Committed, "event %d of an append is %.80q: got the error %v, want an *InvalidEventError of its %s (call cdc.CheckAppend first)", index, fmt.Sprintf("%+v", e), err, field)
	}
}

func refusedInTransaction(t *test) {
	log := t.open()
	t.Fill(log, 1)
	before := t.Bounds(log)
	for field, events := range unacceptable() {
		tx := t.BeginTraced(log)
		t.Trace("-- an event whose %s is bad", field)
		err := tx.Append(t.Ctx, t.Event(), events[0])
		_ = tx.Rollback(t.Ctx)
		t.refuses(err, field, 1, events[0])
	}
	got := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch, Seq: before.Head}, 10)
	t.Want(len(got) == 0, "%s were read though every append was refused", trial.EventsText(got))
}

func appendContextEnds(t *test) {
	log := t.open()
	t.Fill(log, 1)
	for k := 1; k <= looksLimit; k++ {
		before := t.Bounds(log)
		events := t.Events(3)
		ctx := t.EndsAtLook(k)
		r, err := t.h.append(ctx, log.Log, events...)
		t.Trace("Append %d whose context ends at look %d → %v %s", len(events), k, r.Seqs, trial.ErrText(err))
		unknown := errors.Is(err, cdc.ErrUnknownOutcome)
		if err != nil && !unknown && !errors.Is(err, context.Canceled) {
			t.Fail(verify.Committed, "the context of an Append ended, and its error is %v: want one that is context.Canceled, or ErrUnknownOutcome", err)
		}
		t.Fill(log, 1) // what was to come has come
		got := t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch, Seq: before.Head}, 100)
		n := 0
		for _, e := range got {
			if slices.ContainsFunc(events, func(o cdc.Event) bool { return o.ID == e.ID }) {
				n++
			}
		}
		switch {
		case err == nil:
			t.Want(n == 3, "an Append of 3 events, whose context ended at look %d, returned no error, and %d of them are there", k, n)
		case unknown:
			t.Want(n == 0 || n == 3, "an Append of 3 events ended with ErrUnknownOutcome, and %d of them are there", n)
		default:
			t.Want(n == 0, "an Append, whose context ended at look %d, returned %v, and %d of its events are there: an error that may come after the commit wraps ErrUnknownOutcome", k, err, n)
		}
		t.retried(log, events, before, n)
		if !ctx.Reached() {
			return
		}
	}
}

// retried appends the events again: whatever became of the first attempt, each
// is there once.
func (t *test) retried(log handle, events []cdc.Event, before cdc.Bounds, there int) {
	r, err := t.h.append(t.Ctx, log.Log, events...) // not recorded: their place was taken before
	if err != nil {
		t.StoreFailed("Append", err)
	}
	t.Want(r.Duplicate == (there > 0), "an Append whose context had ended was retried with %d of its events there: the receipt is %+v", there, r)
	n := 0
	for _, e := range t.ReadAll(log, cdc.Cursor{Epoch: before.Epoch, Seq: before.Head}, 100) {
		if slices.ContainsFunc(events, func(o cdc.Event) bool { return o.ID == e.ID }) {
			n++
		}
	}
	t.Want(n == len(events), "an Append of %d events whose context had ended was retried: %d of them are there", len(events), n)
}
