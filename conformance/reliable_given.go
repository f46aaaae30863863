package conformance

import (
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// assigned appends events whose Seq and Time are set: the log has its own.
func assigned(t *test) {
	log := t.open()
	began := time.Now().Add(-time.Minute)
	for _, seq := range []uint64{1, 2, 1000, 1 << 40} {
		e := t.Event()
		e.Seq, e.Time = seq, time.Unix(1_000_000, 7).UTC()
		b := t.Bounds(log)
		r := t.Append(log, e)
		got := t.Read(log, cdc.Cursor{Epoch: b.Epoch, Seq: b.Head}, 10).Events
		t.Want(len(got) == 1 && got[0].Seq == r.Seqs[0] && got[0].Seq < 1<<32 && got[0].Seq > b.Last, "an event was appended with the Seq %d: the receipt is %+v and the log has %s above %d", seq, r, trial.EventsText(got), b.Last)
		t.Want(got[0].Time.After(began), "an event was appended with the Time %v, and the log gave it the time %v", e.Time, got[0].Time)
	}
	t.Record(log)
}

// noData: which of the two forms comes back is not promised, that both have no
// bytes is.
func noData(t *test) {
	log := t.open()
	s := t.Follow("live", log, cdc.Beginning(), nil)
	s.AwaitFirst()
	for _, data := range [][]byte{nil, {}} {
		for _, meta := range []map[string]string{nil, {}} {
			e := t.Event()
			e.Data, e.Meta = data, meta
			s.AwaitEvent(t.Append(log, e).Seqs[0])
		}
	}
	epoch := t.Bounds(log).Epoch
	for who, events := range map[string][]cdc.Event{"Read": t.ReadAll(log, cdc.Cursor{Epoch: epoch}, 10), "the stream": s.Events()} {
		for _, e := range events {
			t.Want(len(e.Data) == 0 && len(e.Meta) == 0, "%s gave event %d, appended without data and metadata, with the data %q and the metadata %q", who, e.Seq, e.Data, e.Meta)
			if _, err := t.TryRead(log, e.Cursor(epoch), 1); err != nil {
				t.Fail(verify.Reliable, "the cursor of event %d, which has no data, is refused: %v", e.Seq, err)
			}
		}
	}
}
