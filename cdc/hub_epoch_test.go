package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
)

func TestHubEpochChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 4)
		hub := newHub(t, log, nil)
		var streams []*stream
		for range 3 {
			s := follow(t, hub, cdc.Beginning(), nil)
			s.live()
			streams = append(streams, s)
		}
		epoch, err := cdc.Renew(t.Context(), hub)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range streams {
			if r := s.reset(cdc.ReasonEpochChanged); r.Resume.Epoch != epoch {
				t.Errorf("resume = %v", r.Resume)
			}
		}
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		add(t, log, 1)
		if got := s.until(5); !reflect.DeepEqual(got, []uint64{5}) {
			t.Errorf("got %v in the new epoch", got)
		}
	})
}

// The log changes its epoch, and a stream starts in the new one before the Hub
// has noticed: it must not be reset for a change that it has not seen.
func TestHubEpochChangeDoesNotResetNewStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		h := &hooks{Log: log}
		add(t, log, 2)
		hub := newHub(t, h, nil)
		follow(t, hub, cdc.Latest(), nil).live()
		synctest.Wait() // the Hub has asked for its bounds, too
		h.bounds = func(n int) error {
			if n > 0 {
				h.bounds = nil
				_, err := log.Renew(t.Context())
				return err
			}
			return nil
		}
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		add(t, log, 1)
		if got := s.until(3); !reflect.DeepEqual(got, []uint64{3}) {
			t.Errorf("got %v", got)
		}
	})
}

// A log that was rewound and grew again has the same epoch and a higher head:
// only the tag tells.
func TestHubNoticesARewoundLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newMem(t), newMem(t)
		add(t, one, 5)
		for range 8 {
			if _, err := other.Append(t.Context(), cdc.Event{Type: "other history"}); err != nil {
				t.Fatal(err)
			}
		}
		log := &swapped{current: one, epoch: epochOf(t, one)}
		hub := newHub(t, log, nil)
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		add(t, one, 1)
		s.until(6)
		log.swap(other)
		one.Close() // the subscription breaks, as at a failover
		if r := s.reset(cdc.ReasonDiverged); r.Head != 8 {
			t.Errorf("reset = %+v", r)
		}
	})
}

// swapped gives another log in the epoch of the first.
type swapped struct {
	mu      sync.Mutex
	current cdc.Log
	epoch   string
}

func (s *swapped) swap(log cdc.Log) { s.mu.Lock(); defer s.mu.Unlock(); s.current = log }

func (s *swapped) log(ctx context.Context) (cdc.Log, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := s.current.Bounds(ctx)
	return s.current, b.Epoch
}

func (s *swapped) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	log, epoch := s.log(ctx)
	if after.Epoch == s.epoch {
		after.Epoch = epoch
	}
	return log.Read(ctx, after, limit)
}

func (s *swapped) Bounds(ctx context.Context) (cdc.Bounds, error) {
	log, _ := s.log(ctx)
	b, err := log.Bounds(ctx)
	b.Epoch = s.epoch
	return b, err
}

func (s *swapped) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	log, _ := s.log(ctx)
	sub, err := log.Subscribe(ctx)
	return brokenNotClosed{sub}, err
}

// brokenNotClosed says that the connection is lost where the log was closed.
type brokenNotClosed struct{ cdc.Subscription }

func (b brokenNotClosed) Next(ctx context.Context) ([]cdc.Event, error) {
	events, err := b.Subscription.Next(ctx)
	if errors.Is(err, cdc.ErrClosed) {
		err = errors.New("connection lost")
	}
	return events, err
}

// A log is replaced by another while its subscription still holds an event of
// the old one: no follower of the new log may get that.
func TestHubLeavesTheSubscriptionOfAReplacedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, current := newMem(t), newMem(t)
		add(t, old, 5)
		log := &replaced{Log: old, woken: make(chan struct{})}
		hub := newHub(t, log, nil)
		first := follow(t, hub, cdc.Beginning(), nil)
		first.live()
		log.replace(current, cdc.Event{Seq: 6, Type: "of the old log"})
		first.reset(cdc.ReasonEpochChanged)
		second := follow(t, hub, cdc.Beginning(), nil)
		second.live()
		synctest.Wait()
		add(t, current, 1)
		if b := second.batch(); len(b.Events) != 1 || b.Events[0].Seq != 1 || b.Events[0].Type != "t" {
			t.Errorf("got %v in the new log, want its first event", b.Events)
		}
	})
}

// replaced is a log that is replaced by another. Its first subscription wakes
// its reader then, and returns an event that it had kept.
type replaced struct {
	cdc.Log
	mu    sync.Mutex
	next  cdc.Log
	kept  cdc.Event
	woken chan struct{}
}

func (r *replaced) replace(log cdc.Log, kept cdc.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.kept = log, kept
	close(r.woken)
}

func (r *replaced) log() cdc.Log {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		return r.next
	}
	return r.Log
}

func (r *replaced) Read(ctx context.Context, after cdc.Cursor, limit int) (cdc.Page, error) {
	return r.log().Read(ctx, after, limit)
}

func (r *replaced) Bounds(ctx context.Context) (cdc.Bounds, error) { return r.log().Bounds(ctx) }

func (r *replaced) Subscribe(ctx context.Context) (cdc.Subscription, error) {
	log := r.log()
	sub, err := log.Subscribe(ctx)
	if log == r.Log {
		sub = &keeping{sub, r, 0}
	}
	return sub, err
}

type keeping struct {
	cdc.Subscription
	log   *replaced
	calls int
}

func (k *keeping) Next(ctx context.Context) ([]cdc.Event, error) {
	select {
	case <-k.log.woken:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	switch k.calls++; k.calls {
	case 1:
		return nil, nil
	case 2:
		return []cdc.Event{k.log.kept}, nil
	}
	return k.Subscription.Next(ctx)
}

// A log went back and grew again under a subscription that carries its events
// and did not break: those that come at or below the position are others than
// those that were delivered, and no stream may pass over them.
func TestALogThatGoesBackUnderItsSubscription(t *testing.T) {
	for name, over := range map[string]func(*testing.T, cdc.Log) cdc.Log{
		"bare":     func(_ *testing.T, log cdc.Log) cdc.Log { return log },
		"Hub":      func(t *testing.T, log cdc.Log) cdc.Log { return newHub(t, log, nil) },
		"deep Hub": func(t *testing.T, log cdc.Log) cdc.Log { return newHub(t, log, &cdc.HubOptions{TailEvents: 1}) },
	} {
		for _, handed := range [][2]int{{4, 4}, {4, 5}, {4, 8}, {6, 6}, {6, 8}, {1, 8}} {
			t.Run(fmt.Sprintf("%s/%d-%d", name, handed[0], handed[1]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					one, other := newMem(t), newMem(t)
					add(t, one, 3)
					log := &handing{swapped: swapped{current: one, epoch: epochOf(t, one)}, ch: make(chan []cdc.Event, 10)}
					hub := over(t, log)
					s := follow(t, hub, cdc.Beginning(), nil)
					s.live()
					synctest.Wait()
					add(t, one, 3)
					log.hand(t, one, 4, 6)
					s.until(6)
					s.batch() // a heartbeat: it has nothing left to read
					for range handed[1] {
						if _, err := other.Append(t.Context(), cdc.Event{Type: "other history"}); err != nil {
							t.Fatal(err)
						}
					}
					log.swap(other)
					log.hand(t, other, handed[0], handed[1])
					err := s.end()
					reset, ok := errors.AsType[*cdc.ResetError](err)
					if !ok || reset.Reason != cdc.ReasonDiverged && reset.Reason != cdc.ReasonFuture || reset.Head != uint64(handed[1]) {
						t.Errorf("got %v, want a reset that names the head %d", err, handed[1])
					}
				})
			})
		}
	}
}

// What a subscription hands over again, because it was read before, is
// compared in memory: the log is not asked.
func TestEventsThatWereReadBeforeCostNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newMem(t)
		add(t, one, 6)
		log := &handing{swapped: swapped{current: one, epoch: epochOf(t, one)}, ch: make(chan []cdc.Event, 10)}
		counted := &hooks{Log: log}
		hub := newHub(t, counted, nil)
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		synctest.Wait()
		add(t, one, 2)
		log.hand(t, one, 7, 8)
		s.until(8)
		s.batch() // a heartbeat: it has nothing left to read
		reads := counted.count("read")
		log.hand(t, one, 7, 7)
		log.hand(t, one, 7, 8)
		add(t, one, 2)
		log.hand(t, one, 8, 10)
		if got := s.until(10); !reflect.DeepEqual(got, []uint64{9, 10}) {
			t.Errorf("got %v, want 9 and 10 once", got)
		}
		if n := counted.count("read") - reads; n != 0 {
			t.Errorf("%d reads for events that were there already", n)
		}
	})
}

// handing is a log with one subscription, which carries what the test hands
// it and survives whatever becomes of the log. No events are a lag.
type handing struct {
	swapped
	ch chan []cdc.Event
}

// hand hands over the events from the first to the last seq.
func (h *handing) hand(t *testing.T, of cdc.Log, first, last int) {
	t.Helper()
	h.ch <- eventsOf(t, of, first, last)
}

func (h *handing) Subscribe(context.Context) (cdc.Subscription, error) { return h, nil }

func (h *handing) Next(ctx context.Context) ([]cdc.Event, error) {
	select {
	case events := <-h.ch:
		if len(events) == 0 {
			return nil, cdc.ErrLagged
		}
		return events, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (h *handing) Close() error { return nil }

func TestHubTruncatedFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 4})
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		add(t, log, 100)
		synctest.Wait()
		if _, err := cdc.Trim(t.Context(), hub, 90); err != nil {
			t.Fatal(err)
		}
		if r := s.reset(cdc.ReasonTruncated); r.Floor != 90 || r.Head != 100 {
			t.Errorf("reset = %+v", r)
		}
	})
}

func TestHubRejectsADivergedCursorInEveryRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 50)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 8})
		synctest.Wait()
		add(t, log, 50)
		synctest.Wait()
		epoch := epochOf(t, log)
		for seq := uint64(1); seq <= 100; seq++ {
			right, err := log.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: seq - 1}, 1)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time from what was kept
				if _, err := hub.Read(t.Context(), right.Events[0].Cursor(epoch), 3); err != nil {
					t.Errorf("right cursor %d: %v", seq, err)
				}
				_, err = hub.Read(t.Context(), cdc.Cursor{Epoch: epoch, Seq: seq, Tag: "AAAAAAAAAAA"}, 3)
				if reset, ok := errors.AsType[*cdc.ResetError](err); !ok || reset.Reason != cdc.ReasonDiverged {
					t.Errorf("wrong tag at %d: %v", seq, err)
				}
			}
		}
	})
}
