package conformance

import (
	"errors"
	"slices"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
	"github.com/gapless-go/gapless/conformance/internal/trial"
)

// handleCases are about what is open beside something else.
func handleCases() []Case {
	return []Case{
		{Guarantee: verify.Contained, Situation: "OtherHandleCloses", Sentence: "closing one handle leaves the subscriptions, the streams and the appends of another as they are", needs: []need{needSecond}, run: otherHandleCloses},
		{Guarantee: verify.Resumable, Situation: "EpochBesideOpen", Sentence: "a new epoch beside open transactions: what they commit is read in it, and no seq is used twice", needs: []need{needThree}, run: epochBesideOpen},
		{Guarantee: verify.Atomic, Situation: "Thousand", Sentence: "an append of 1,000 events is seen whole or not at all", run: atomicThousand},
		{Guarantee: verify.Ordered, Situation: "Interleaved", Sentence: "transactions whose appends interleave reach a subscription in the order of the log", needs: []need{needThree}, run: interleaved},
	}
}

func otherHandleCloses(t *test) {
	a := t.open()
	t.Fill(a, 2)
	s := t.Follow("on the handle that stays", a, cdc.Beginning(), trial.Quiet())
	s.AwaitLive()
	for range 2 {
		b := t.second(a)
		r, other := t.RawAtHead(a), t.Follow("on the handle that is closed", b, cdc.Latest(), trial.Quiet())
		other.AwaitLive()
		t.close(b)
		t.Want(errors.Is(other.AwaitEnd(), cdc.ErrClosed), "closing a handle ended its stream with %v, want ErrClosed", other.Err())
		seq := t.Append(a, t.Event()).Seqs[0]
		r.Committed(seq)
		r.Until(seq)
		t.Fence(a, s)
	}
	t.Record(a)
}

// twoOpen opens transactions that have appended, and returns an ID of each.
func (t *test) twoOpen(log handle) (open []*trial.Traced, ids []string) {
	for n := range 2 {
		events := t.Events(1 + n)
		tx := t.BeginTraced(log)
		if err := tx.Append(t.Ctx, events...); err != nil {
			t.StoreFailed("Tx.Append", err)
		}
		open, ids = append(open, tx), append(ids, events[0].ID)
	}
	return open, ids
}

// epochBesideOpen: a store may make Renew wait for the transactions, or refuse
// their commits.
func epochBesideOpen(t *test) {
	log := t.open()
	t.Fill(log, 3)
	for _, commits := range [][]bool{{true, true}, {true, false}, {false, true}} {
		old := t.Bounds(log).Epoch
		open, want := t.twoOpen(log)
		renewed := t.Go(func() {
			if err := t.h.renew(t.Ctx, log.Log); err != nil {
				t.NoteStoreFailed("Renew", err)
			}
		})
		select {
		case <-renewed:
			if !t.Failed() {
				t.Fill(log, 1)
			}
		case <-time.After(100 * time.Millisecond):
		}
		for n, tx := range open {
			err := error(nil)
			if commits[n] {
				err = tx.Commit(t.Ctx)
			} else {
				_ = tx.Rollback(t.Ctx)
			}
			if !commits[n] || err != nil {
				want[n] = ""
			}
		}
		t.Wait(verify.Resumable, renewed, "a Renew beside transactions that have ended")
		if t.Failed() {
			return
		}
		t.wasRenewed(log, old)
		t.Fill(log, 1)
		got := t.ReadAll(log, cdc.Cursor{Epoch: t.Bounds(log).Epoch}, 100)
		for _, id := range want {
			there := slices.ContainsFunc(got, func(e cdc.Event) bool { return e.ID == id })
			t.Want(id == "" || there, "a transaction that was open when the log got a new epoch has committed event %q since, and the log holds %s", id, trial.EventsText(got))
		}
	}
}

func interleaved(t *test) {
	log := t.open()
	r := t.RawAtHead(log)
	s := t.Follow("live", log, cdc.Latest(), trial.Quiet())
	s.AwaitLive()
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}} {
		before := t.Bounds(log).Head
		open := []*trial.Tx{t.Begin(log), t.Begin(log), t.Begin(log)}
		for _, n := range []int{0, 1, 0, 2, 1, 0, 2} {
			open[n].Append(1)
		}
		for _, n := range order {
			open[n].Commit()
		}
		got := trial.SeqsOf(t.ReadAll(log, cdc.Cursor{Epoch: r.Pos.Epoch, Seq: before}, 100))
		t.Want(len(got) == 7, "three transactions have committed 7 events, the log holds %v", got)
		r.Committed(got...)
		r.Until(lastOf(got))
		s.AwaitEvent(lastOf(got))
	}
	t.Fence(log, s)
	t.Record(log)
}

// atomicThousand reads to the end all the time: that is never inside an append.
func atomicThousand(t *test) {
	const group = 1000
	log := t.open()
	pos := cdc.Cursor{Epoch: t.Bounds(log).Epoch}
	done := t.Go(func() {
		for range 3 {
			if _, err := t.TryAppend(log, t.Events(group)...); err != nil {
				t.NoteAppendFailed(err)
				return
			}
		}
	})
	n := 0
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		trial.Breathe()
		got := t.ReadAll(log, pos, 2*group)
		pos.Seq = max(pos.Seq, trial.LastSeq(got))
		n += len(got)
		t.Want(n%group == 0, "events were appended %d at a time, and a reader that had caught up saw %d of an append", group, n%group)
	}
	t.Want(n == 3*group, "%d events were appended %d at a time, a reader got %d", 3*group, group, n)
	t.Record(log)
}
