package cdc_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gapless-go/gapless/cdc"
	memlog "github.com/gapless-go/gapless/source/mem"
)

func newHub(t *testing.T, log cdc.Log, opts *cdc.HubOptions) *cdc.Hub {
	hub := cdc.NewHub(log, opts)
	t.Cleanup(func() { _ = hub.Close() })
	return hub
}

func TestHubFollowersShareOneSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t)}
		add(t, h, 10)
		hub := newHub(t, h, nil)
		synctest.Wait()
		var streams []*stream
		for range 20 {
			s := follow(t, hub, cdc.Latest, nil)
			s.live()
			streams = append(streams, s)
		}
		reads := h.count("read")
		add(t, hub, 3)
		for _, s := range streams {
			if got := s.until(13); !reflect.DeepEqual(got, from(11, 13)) {
				t.Errorf("got %v", got)
			}
		}
		if n := h.count("subscribe"); n != 1 {
			t.Errorf("the log has %d subscriptions, want 1", n)
		}
		if n := h.count("read"); n != reads {
			t.Errorf("%d reads for live events", n-reads)
		}
	})
}

func TestHubServesTheTailFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t)}
		hub := newHub(t, h, nil)
		synctest.Wait()
		add(t, hub, 1000)
		synctest.Wait()
		before := h.count("read")
		s := follow(t, hub, cdc.After(cdc.Cursor{Seq: 0}), nil)
		if got := s.until(1000); !reflect.DeepEqual(got, from(1, 1000)) {
			t.Errorf("got %d events", len(got))
		}
		s.live()
		if n := h.count("read") - before; n != 0 {
			t.Errorf("%d reads of the log, want none", n)
		}
	})
}

func TestHubSharesColdReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		for range 100 {
			add(t, log, 100)
		}
		reads := func(clients int) int {
			h := &hooks{Log: log, read: func(int) error { time.Sleep(time.Millisecond); return nil }}
			hub := newHub(t, h, nil)
			synctest.Wait()
			var group sync.WaitGroup
			for i := range clients {
				group.Go(func() {
					start := uint64(i % 15 * 37) // neighbours, not the same
					next := start
					for b, err := range cdc.Follow(t.Context(), hub, cdc.After(cdc.Cursor{Seq: start}), nil) {
						if err != nil {
							t.Error(err)
							return
						}
						for _, e := range b.Events {
							if next++; e.Seq != next {
								t.Errorf("client %d got %d, want %d", i, e.Seq, next)
								return
							}
						}
						if b.State == cdc.Live {
							break
						}
					}
					if next != 10000 {
						t.Errorf("client %d turned live at %d", i, next)
					}
				})
			}
			group.Wait()
			return h.count("read")
		}
		one, many := reads(1), reads(100)
		t.Logf("1 client: %d reads, 100 clients: %d", one, many)
		if many > 2*one {
			t.Errorf("100 clients cost %d reads, one %d: want at most twice", many, one)
		}
	})
}

func TestHubLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 8})
		synctest.Wait()
		slow := follow(t, hub, cdc.Beginning, nil)
		slow.live()
		fast := follow(t, hub, cdc.Beginning, nil)
		fast.live()
		for i := range 100 {
			add(t, log, 1)
			if got := fast.until(uint64(i + 1)); len(got) != 1 {
				t.Fatalf("fast got %v", got)
			}
		}
		b := slow.batch()
		if b.State != cdc.Replaying {
			t.Errorf("slow is %v after 100 events with a tail of 8", b.State)
		}
		got := seqsOf(b.Events)
		if b.Cursor.Seq < 100 {
			got = append(got, slow.until(100)...)
		}
		if !reflect.DeepEqual(got, from(1, 100)) {
			t.Errorf("slow got %v", got)
		}
		slow.live()
	})
}

func TestHubTailIsBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t)}
		hub := newHub(t, h, &cdc.HubOptions{TailBytes: 1000})
		synctest.Wait()
		for range 50 {
			if _, err := cdc.Append(t.Context(), h, cdc.Event{Data: make([]byte, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		cursor := cdc.Cursor{Epoch: epochOf(t, h)}
		before := h.count("read")
		for _, tt := range []struct {
			after uint64
			cold  bool
		}{{30, true}, {46, false}} {
			cursor.Seq = tt.after
			page, err := hub.Read(t.Context(), cursor, 1)
			if err != nil || !reflect.DeepEqual(seqsOf(page.Events), []uint64{tt.after + 1}) {
				t.Errorf("Read(%d) = %v, %v", tt.after, seqsOf(page.Events), err)
			}
			if cold := h.count("read") > before; cold != tt.cold {
				t.Errorf("Read(%d) read the log: %t, want %t", tt.after, cold, tt.cold)
			}
			before = h.count("read")
		}
	})
}

func TestHubSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("server is down")
		var mu sync.Mutex
		isDown, told := true, 0
		check := func(int) error {
			mu.Lock()
			defer mu.Unlock()
			if isDown {
				return down
			}
			return nil
		}
		set := func(d bool) { mu.Lock(); defer mu.Unlock(); isDown = d }
		log := newMem(t)
		h := &hooks{Log: log, subscribe: check, bounds: check, read: check, next: check}
		hub := newHub(t, h, &cdc.HubOptions{OnError: func(err error) {
			if errors.Is(err, down) {
				told++
			}
		}})
		if err := follow(t, hub, cdc.Latest, nil).end(); !errors.Is(err, down) {
			t.Errorf("a stream that starts while the log is down ends with %v", err)
		}
		set(false)
		add(t, log, 2)
		time.Sleep(time.Minute) // the Hub has reached the log
		s := follow(t, hub, cdc.Beginning, nil)
		s.live()

		set(true)
		add(t, log, 1) // ends Next; the one after it fails
		if got := s.until(3); len(got) != 1 {
			t.Errorf("got %v", got)
		}
		add(t, log, 5)
		time.Sleep(time.Minute)
		set(false)
		if got := s.until(8); !reflect.DeepEqual(got, from(4, 8)) {
			t.Errorf("after the outage: %v, want 4 to 8", got)
		}
		if told < 3 || told > 100 {
			t.Errorf("OnError was told %d times", told)
		}
	})
}

func TestHubEpochChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		add(t, log, 4)
		hub := newHub(t, log, nil)
		var streams []*stream
		for range 3 {
			s := follow(t, hub, cdc.Beginning, nil)
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
		s := follow(t, hub, cdc.Beginning, nil)
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
		follow(t, hub, cdc.Latest, nil).live()
		h.bounds = func(n int) error {
			if n > 0 {
				h.bounds = nil
				_, err := log.Renew(t.Context())
				return err
			}
			return nil
		}
		s := follow(t, hub, cdc.Beginning, nil)
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
		s := follow(t, hub, cdc.Beginning, nil)
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

func TestHubTruncatedFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 4})
		s := follow(t, hub, cdc.Beginning, nil)
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

func TestHubReadSeesWhatWasAppended(t *testing.T) {
	log := newMem(t)
	hub := newHub(t, log, nil)
	cursor := cdc.Cursor{Epoch: epochOf(t, hub)}
	for want := uint64(1); want <= 200; want++ {
		add(t, log, 1) // the Hub's reader may or may not have it already
		page, err := hub.Read(t.Context(), cursor, 10)
		if err != nil || !reflect.DeepEqual(seqsOf(page.Events), []uint64{want}) || page.Next != want {
			t.Fatalf("Read after Append(%d) = %v next %d, %v", want, seqsOf(page.Events), page.Next, err)
		}
		cursor = page.Events[0].Cursor(cursor.Epoch)
	}
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

func TestHubClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := cdc.NewHub(log, nil)
		synctest.Wait()
		s := follow(t, hub, cdc.Latest, nil)
		s.live()
		sub, err := hub.Subscribe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() { _, err := sub.Next(t.Context()); got <- err }()
		synctest.Wait()
		for range 2 {
			if err := hub.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		if err := <-got; !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("Next = %v", err)
		}
		if err := s.end(); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("the stream ended with %v", err)
		}
		_, err1 := hub.Bounds(t.Context())
		_, err2 := hub.Read(t.Context(), cdc.Cursor{Epoch: "e"}, 1)
		_, err3 := hub.Subscribe(t.Context())
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, cdc.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if _, err := log.Bounds(t.Context()); err != nil {
			t.Errorf("Close closed the log: %v", err)
		}
	})
}

func TestHubEndsWithItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, nil)
		s := follow(t, hub, cdc.Latest, nil)
		s.live()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.end(); !errors.Is(err, cdc.ErrClosed) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestHubCallersLeaveTheirSharedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t)}
		add(t, h, 5)
		hub := newHub(t, h, nil)
		synctest.Wait()
		slow := func(int) error { time.Sleep(time.Hour); return nil }
		h.bounds, h.read = slow, slow
		for name, call := range map[string]func(context.Context) error{
			"bounds": func(ctx context.Context) error { _, err := hub.Bounds(ctx); return err },
			"cold": func(ctx context.Context) error {
				_, err := hub.Read(ctx, cdc.Cursor{Epoch: epochOf(t, h.Log)}, 1)
				return err
			},
			"edge": func(ctx context.Context) error {
				_, err := hub.Read(ctx, cdc.Cursor{Epoch: epochOf(t, h.Log), Seq: 5}, 1)
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			cancel()
		}
	})
}

// Followers join, leave and lag while writers append and retention trims: each
// sees a dense run of seqs, or a typed reset.
func TestHubUnderLoad(t *testing.T) {
	log := memlog.New(&memlog.Options{Buffer: 8})
	defer log.Close()
	hub := newHub(t, log, &cdc.HubOptions{TailEvents: 64})
	const total = 6000
	var writers, readers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range total / 4 / 5 {
				add(t, log, 5)
			}
		})
	}
	for i := range 16 {
		readers.Go(func() {
			at := cdc.Cursor{Epoch: epochOf(t, hub), Seq: 0}
			for at.Seq < total {
				n := 0
				for b, err := range cdc.Follow(t.Context(), hub, cdc.After(at), &cdc.FollowOptions{PageSize: 1 + i}) {
					if err != nil {
						t.Errorf("reader %d: %v", i, err)
						return
					}
					for _, e := range b.Events {
						if e.Seq != at.Seq+1 {
							t.Errorf("reader %d got %d after %d", i, e.Seq, at.Seq)
							return
						}
						at = e.Cursor(at.Epoch)
					}
					if n++; at.Seq == total || n > 50+i*10 {
						break // and resume
					}
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
}
