package cdc_test

import (
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
	hub, err := cdc.NewHub(log, opts)
	if err != nil {
		t.Fatal(err)
	}
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
			s := follow(t, hub, cdc.Latest(), nil)
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
	t.Run("subscribed", func(t *testing.T) { testColdReads(t, nil) })
	t.Run("before the log can be subscribed to", func(t *testing.T) {
		testColdReads(t, func(int) error { return errDown })
	})
}

func testColdReads(t *testing.T, subscribe func(int) error) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		for range 100 {
			add(t, log, 100)
		}
		reads := func(clients int) int {
			h := &hooks{Log: log, read: func(int) error { time.Sleep(time.Millisecond); return nil }, subscribe: subscribe}
			hub := newHub(t, h, nil)
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

// A reader that comes long after another finds what that one read, as far as
// the bytes that are kept allow.
func TestHubKeepsColdReadsForStragglers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		events      int
		data        int // bytes of each
		after       uint64
		readsItself bool
	}{
		{"20,000 small events", 20_000, 10, 0, false},
		{"the newest of 48 MiB", 48, 1 << 20, 40, false},
		{"the oldest of 48 MiB", 48, 1 << 20, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hooks{Log: newMem(t)}
				events := make([]cdc.Event, tt.events)
				for i := range events {
					events[i].Data = make([]byte, tt.data)
				}
				if _, err := cdc.Append(t.Context(), h, events...); err != nil {
					t.Fatal(err)
				}
				hub := newHub(t, h, nil)
				synctest.Wait()
				replay := func(after uint64) (reads int) {
					before := h.count("read")
					cursor := cdc.Cursor{Epoch: epochOf(t, h), Seq: after}
					for cursor.Seq < uint64(tt.events) {
						page, err := hub.Read(t.Context(), cursor, 1000)
						if err != nil {
							t.Fatal(err)
						}
						cursor.Seq = page.Next
					}
					return h.count("read") - before
				}
				replay(0)
				if n := replay(tt.after); n > 0 != tt.readsItself {
					t.Errorf("the straggler cost %d reads of the log, want some: %t", n, tt.readsItself)
				}
			})
		})
	}
}

func TestHubLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		hub := newHub(t, log, &cdc.HubOptions{TailEvents: 8})
		synctest.Wait()
		slow := follow(t, hub, cdc.Beginning(), nil)
		slow.live()
		fast := follow(t, hub, cdc.Beginning(), nil)
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
		if err := follow(t, hub, cdc.Latest(), nil).end(); !errors.Is(err, down) {
			t.Errorf("a stream that starts while the log is down ends with %v", err)
		}
		set(false)
		add(t, log, 2)
		time.Sleep(time.Minute) // the Hub has reached the log
		s := follow(t, hub, cdc.Beginning(), nil)
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
		if n := hub.Status().Errors; n < uint64(told) {
			t.Errorf("the status has %d errors, want at least the %d that OnError was told", n, told)
		}
	})
}

func TestHubOutlivesAPanicOfOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMem(t)
		h := &hooks{Log: log, next: func(n int) error {
			if n == 1 {
				return errDown
			}
			return nil
		}}
		hub := newHub(t, h, &cdc.HubOptions{OnError: func(error) { panic("on error") }})
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		add(t, log, 3)
		if got := s.until(3); !reflect.DeepEqual(got, from(1, 3)) {
			t.Errorf("got %v, want 1 to 3", got)
		}
		synctest.Wait() // the events may have been read before the reader is told
		if n := hub.Status().Errors; n != 2 {
			t.Errorf("the status has %d errors, want 2: that of the log and the panic", n)
		}
	})
}

func TestHubReadsALogThatCannotBeSubscribedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{Log: newMem(t), subscribe: func(int) error { return errDown }}
		hub := newHub(t, h, nil)
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		time.Sleep(time.Minute)
		add(t, h, 3)
		began := time.Now()
		if got := s.until(3); !reflect.DeepEqual(got, from(1, 3)) {
			t.Errorf("got %v", got)
		}
		if late := time.Since(began); late > 5*time.Second {
			t.Errorf("the events came %v late, want at most 5s", late)
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
