package cdc_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func TestFollowReplaysThenTurnsLiveOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 5)
		s := follow(t, log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2})
		epoch := epochOf(t, log)

		if b := s.batch(); len(b.Events) != 0 || b.Cursor != (cdc.Cursor{Epoch: epoch}) || b.State != cdc.Replaying {
			t.Errorf("first batch = %+v, want an empty one at the start", b)
		}
		for _, want := range [][]uint64{{1, 2}, {3, 4}, {5}} {
			b := s.batch()
			if !reflect.DeepEqual(seqsOf(b.Events), want) || b.State != cdc.Replaying {
				t.Errorf("got %v %v, want replayed %v", seqsOf(b.Events), b.State, want)
			}
			if last := b.Events[len(b.Events)-1]; b.Cursor != last.Cursor(epoch) {
				t.Errorf("cursor = %v, want that of event %d", b.Cursor, last.Seq)
			}
		}
		if b := s.batch(); len(b.Events) != 0 || b.State != cdc.Live {
			t.Errorf("got %+v, want the turn to live", b)
		}
		add(t, log, 2)
		if b := s.batch(); !reflect.DeepEqual(seqsOf(b.Events), []uint64{6, 7}) || b.State != cdc.Live {
			t.Errorf("got %v %v, want live 6 and 7", seqsOf(b.Events), b.State)
		}
	})
}

// One event is appended before every call in turn: it must arrive once,
// whether it was readable, live, or both.
func TestFollowHandoff(t *testing.T) {
	for _, call := range []string{"subscribe", "bounds", "read", "next"} {
		for k := 1; k <= 3; k++ {
			t.Run(fmt.Sprintf("%s/%d", call, k), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := newMem(t)
					add(t, log, 3)
					h := &hooks{Log: log}
					done := false
					inject := func(n int) error {
						if n == k && !done {
							done = true
							add(t, log, 1)
						}
						return nil
					}
					switch call {
					case "subscribe":
						h.subscribe = inject
					case "bounds":
						h.bounds = inject
					case "read":
						h.read = inject
					case "next":
						h.next = inject
					}
					s := follow(t, h, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2, Heartbeat: time.Second})
					var got []uint64
					for h.count(call) <= k {
						b := s.batch()
						got = append(got, seqsOf(b.Events)...)
						if b.State == cdc.Live && call != "next" {
							break // the call is made less often than k times
						}
					}
					marker := add(t, log, 1).Seqs[0]
					got = append(got, s.until(marker)...)
					if !reflect.DeepEqual(got, from(1, marker)) {
						t.Errorf("got %v, want 1 to %d", got, marker)
					}
				})
			})
		}
	}
}

func TestFollowLatestLosesNothingAfterTheFirstBatch(t *testing.T) {
	log := newMem(t)
	add(t, log, 3)
	s := follow(t, log, cdc.Latest(), nil)
	first := s.batch()
	if first.Cursor.Seq != 3 || first.Cursor.Tag == "" {
		t.Errorf("Latest resolved to %v, want event 3 with its tag", first.Cursor)
	}
	s.stop()
	add(t, log, 2)
	s = follow(t, log, cdc.After(first.Cursor), nil)
	if got := s.until(5); !reflect.DeepEqual(got, from(4, 5)) {
		t.Errorf("after the cut: got %v, want 4 and 5", got)
	}
}

func TestFollowBareNumberIsBoundToTheEpoch(t *testing.T) {
	log := newMem(t)
	add(t, log, 3)
	s := follow(t, log, cdc.After(cdc.Cursor{Seq: 2}), nil)
	if b := s.batch(); b.Cursor != (cdc.Cursor{Epoch: epochOf(t, log), Seq: 2}) {
		t.Errorf("start = %v", b.Cursor)
	}
	if got := s.until(3); !reflect.DeepEqual(got, []uint64{3}) {
		t.Errorf("got %v", got)
	}
	s = follow(t, log, cdc.AfterText("0"), nil)
	if got := s.until(3); !reflect.DeepEqual(got, from(1, 3)) {
		t.Errorf("zero means before the first event: got %v", got)
	}
}

func TestFollowResets(t *testing.T) {
	log := newMem(t)
	add(t, log, 10)
	if _, err := log.Trim(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	epoch := epochOf(t, log)
	at := func(seq uint64, tag string) cdc.Start { return cdc.After(cdc.Cursor{Epoch: epoch, Seq: seq, Tag: tag}) }
	for name, tt := range map[string]struct {
		start  cdc.Start
		reason cdc.Reason
		opts   cdc.FollowOptions
	}{
		"truncated":   {start: at(3, ""), reason: cdc.ReasonTruncated},
		"future":      {start: at(11, ""), reason: cdc.ReasonFuture},
		"foreign":     {start: cdc.After(cdc.Cursor{Epoch: "other", Seq: 5}), reason: cdc.ReasonForeign},
		"diverged":    {start: at(7, "AAAAAAAAAAA"), reason: cdc.ReasonDiverged},
		"at the head": {start: at(10, "AAAAAAAAAAA"), reason: cdc.ReasonDiverged},
		"malformed":   {start: cdc.AfterText("no cursor"), reason: cdc.ReasonMalformed},
		"too far":     {start: at(5, ""), reason: cdc.ReasonTooFar, opts: cdc.FollowOptions{MaxReplay: 4}},
		"to floor":    {start: at(3, ""), reason: cdc.ReasonTruncated, opts: cdc.FollowOptions{ResetTo: cdc.ResetToFloor}},
	} {
		t.Run(name, func(t *testing.T) {
			r := follow(t, log, tt.start, &tt.opts).reset(tt.reason)
			wantResume := uint64(10)
			if tt.opts.ResetTo == cdc.ResetToFloor {
				wantResume = 4
			}
			if r.Requested != tt.start.String() || r.Floor != 4 || r.Head != 10 || r.Resume.Seq != wantResume || r.Resume.Epoch != epoch {
				t.Errorf("reset = %+v", r)
			}
			s := follow(t, log, cdc.After(r.Resume), nil)
			s.batch() // resumes
		})
	}
	for name, start := range map[string]cdc.Start{"floor": at(4, "AAAAAAAAAAA"), "head": at(10, ""), "within cap": at(6, "")} {
		if b := follow(t, log, start, &cdc.FollowOptions{MaxReplay: 6}).batch(); b.Cursor.Seq == 0 {
			t.Errorf("%s: not resumed: %+v", name, b)
		}
	}
}

func TestFollowUndecidedCursorWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 1)
		slow, _ := log.Begin(t.Context())
		if _, err := slow.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		r := add(t, log, 1) // seq 3, not stable while slow is open
		s := follow(t, log, cdc.After(r.Cursor()), &cdc.FollowOptions{Heartbeat: time.Second})
		if b := s.live(); b.Cursor.Seq != 3 {
			t.Errorf("start = %v, want 3", b.Cursor)
		}
		s.batch() // a heartbeat
		if err := slow.Rollback(); err != nil {
			t.Fatal(err)
		}
		add(t, log, 1)
		if got := s.until(4); !reflect.DeepEqual(got, []uint64{4}) {
			t.Errorf("got %v, want 4", got)
		}
	})
}

func TestFollowRollbackOfTheOldestWriterIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		slow, _ := log.Begin(t.Context())
		if _, err := slow.Append(t.Context(), cdc.Event{}); err != nil {
			t.Fatal(err)
		}
		add(t, log, 1)
		s := follow(t, log, cdc.Beginning(), nil)
		s.live()
		if err := slow.Rollback(); err != nil {
			t.Fatal(err)
		}
		if got := s.until(2); !reflect.DeepEqual(got, []uint64{2}) {
			t.Errorf("got %v, want 2", got)
		}
	})
}

func TestFollowBeginningIsNeverTruncated(t *testing.T) {
	log := newMem(t)
	add(t, log, 20)
	h := &hooks{Log: log}
	trimmed := uint64(0)
	h.read = func(n int) error { // retention is faster than the first three reads
		if n <= 3 {
			trimmed += 5
			if _, err := log.Trim(t.Context(), trimmed); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	s := follow(t, h, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2})
	if b := s.batch(); b.Cursor.Seq != 10 && b.Cursor.Seq != 15 {
		t.Errorf("start = %v", b.Cursor)
	}
	if b := s.batch(); len(b.Events) == 0 {
		t.Errorf("no events in %+v", b)
	}
}

func TestFollowTruncatedUnderTheStream(t *testing.T) {
	log := newMem(t)
	add(t, log, 10)
	s := follow(t, log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 2})
	s.batch()
	s.batch()
	if _, err := log.Trim(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	r := s.reset(cdc.ReasonTruncated)
	if c, _ := cdc.ParseCursor(r.Requested); c.Seq != 2 || r.Floor != 6 || r.Resume.Seq != 10 || r.Resume.Tag == "" {
		t.Errorf("reset = %+v", r)
	}
}

func TestFollowEpochChange(t *testing.T) {
	log := newMem(t)
	add(t, log, 3)
	for name, opts := range map[string]*cdc.FollowOptions{"live": nil, "replaying": {PageSize: 1}} {
		t.Run(name, func(t *testing.T) {
			s := follow(t, log, cdc.Beginning(), opts)
			s.batch()
			if opts == nil {
				s.live()
			} else {
				s.batch() // the page that was read with the start
			}
			epoch, err := cdc.Renew(t.Context(), log)
			if err != nil {
				t.Fatal(err)
			}
			if r := s.reset(cdc.ReasonEpochChanged); r.Resume.Epoch != epoch || r.Resume.Seq != 3 {
				t.Errorf("reset = %+v, want to resume in %s", r, epoch)
			}
		})
	}
}

func TestFollowReplaysAfterALag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memlog.New(&memlog.Options{Buffer: 2})
		defer log.Close()
		s := follow(t, log, cdc.Beginning(), nil)
		s.live()
		add(t, log, 3)
		b := s.batch()
		if b.State != cdc.Replaying || !reflect.DeepEqual(seqsOf(b.Events), from(1, 3)) {
			t.Errorf("after the lag: %v %v, want 1 to 3 replayed", seqsOf(b.Events), b.State)
		}
		if b := s.batch(); b.State != cdc.Live || len(b.Events) != 0 {
			t.Errorf("got %+v, want live announced again", b)
		}
		add(t, log, 2)
		if b := s.batch(); b.State != cdc.Live || !reflect.DeepEqual(seqsOf(b.Events), from(4, 5)) {
			t.Errorf("the subscription was not armed again: %v %v", seqsOf(b.Events), b.State)
		}
	})
}

func TestFollowRenewsABrokenSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		h := &hooks{Log: log}
		broken := errors.New("connection lost")
		h.next = func(n int) error {
			if n == 2 || n == 4 || n == 5 {
				add(t, log, 1) // while nobody listens
				return broken
			}
			return nil
		}
		s := follow(t, h, cdc.Beginning(), nil)
		s.live()
		add(t, log, 1)
		if got := s.until(2); !reflect.DeepEqual(got, from(1, 2)) {
			t.Errorf("got %v, want 1 and 2", got)
		}
		add(t, log, 1)
		if got := s.until(5); !reflect.DeepEqual(got, from(3, 5)) {
			t.Errorf("got %v, want 3 to 5", got)
		}
	})
}

func TestFollowHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 1)
		s := follow(t, log, cdc.Latest(), &cdc.FollowOptions{Heartbeat: 10 * time.Second})
		s.live()
		for range 3 {
			began := time.Now()
			if b := s.batch(); len(b.Events) != 0 || b.Cursor.Seq != 1 || time.Since(began) != 10*time.Second {
				t.Errorf("after %v: %+v, want a heartbeat after 10s", time.Since(began), b)
			}
		}
		time.Sleep(7 * time.Second) // the consumer is busy: the interval begins when it asks again
		began := time.Now()
		if s.batch(); time.Since(began) != 10*time.Second {
			t.Errorf("heartbeat after %v", time.Since(began))
		}
	})
}

func TestFollowHeartbeatWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 3)
		h := &hooks{Log: log, read: func(int) error { time.Sleep(25 * time.Second); return nil }}
		s := follow(t, h, cdc.AfterText("0"), &cdc.FollowOptions{Heartbeat: 10 * time.Second})
		s.batch()
		for range 2 {
			if b := s.batch(); len(b.Events) != 0 || b.State != cdc.Replaying {
				t.Errorf("got %+v, want a heartbeat", b)
			}
		}
		if b := s.batch(); len(b.Events) != 3 {
			t.Errorf("got %+v, want the events", b)
		}
	})
}

func TestFollowFilteredEventsMoveTheCursor(t *testing.T) {
	for _, name := range []string{"pushed down", "filtered here"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log cdc.Log = newMem(t)
				if name == "filtered here" {
					log = &hooks{Log: log}
				}
				add(t, log, 7)
				s := follow(t, log, cdc.Beginning(), &cdc.FollowOptions{PageSize: 3, Filter: cdc.Filter{Types: []string{"wanted"}}})
				if b := s.live(); b.Cursor.Seq != 7 {
					t.Errorf("caught up at %v, want 7", b.Cursor)
				}
				r := add(t, log, 1)
				if b := s.batch(); len(b.Events) != 0 || b.Cursor.Seq != 8 || b.Cursor.Epoch != r.Epoch {
					t.Errorf("got %+v, want the cursor at 8", b)
				}
				if _, err := cdc.Append(t.Context(), log, cdc.Event{Type: "wanted"}); err != nil {
					t.Fatal(err)
				}
				if b := s.batch(); !reflect.DeepEqual(seqsOf(b.Events), []uint64{9}) {
					t.Errorf("got %+v, want 9", b)
				}
			})
		})
	}
}
