package growth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gapless-go/gapless/benchmarks/peers/control"
	"github.com/gapless-go/gapless/cdc"
)

// unindexed is a log that filters nothing by itself.
type unindexed struct{ cdc.Log }

// What a topic costs depends on its own events, where there is an index.
func TestTopics(t *testing.T) {
	total := batch() * times(20)
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			p := b.start(t)
			open, end, err := p.store(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = end() }()
			tab := newTable(t, fmt.Sprintf("%d events over topics on %s", total, b.name),
				"topics", "events of the topic", "replay of it", "for an event", "without the index", "append 1", "append 100")
			for _, topics := range steps(1, 100_000) {
				l, err := open(t.Context(), fmt.Sprint("t", topics))
				if err != nil {
					t.Fatal(err)
				}
				for at := 0; at < total; at += batch() {
					if _, err := l.Append(t.Context(), events(at, batch(), topics)...); err != nil {
						t.Fatal(err)
					}
				}
				if p.analyze != nil {
					if err := p.analyze(t.Context(), fmt.Sprint("t", topics)); err != nil {
						t.Fatal(err)
					}
				}
				f := cdc.Filter{Topics: []string{topic(topics / 2)}}
				got := 0
				replay := func(l cdc.Log) time.Duration {
					return median(t, times(3), func() (err error) { got, err = replayed(t, l, f); return err })
				}
				indexed, bare := replay(l), replay(unindexed{l})
				if want := total / topics; got != want {
					t.Errorf("the replay has %d events of the topic, want %d", got, want)
				}
				add := func(n int) time.Duration {
					return median(t, times(200), func() error { _, err := l.Append(t.Context(), events(0, n, topics)...); return err })
				}
				tab.row(topics, got, indexed, indexed/time.Duration(max(got, 1)), bare, add(1), add(100))
			}
		})
	}
}

// replayed reads a log from its beginning and returns how many events match.
func replayed(t *testing.T, l cdc.Log, f cdc.Filter) (n int, err error) {
	t.Helper()
	for batch, err := range cdc.Follow(t.Context(), l, cdc.Beginning(), &cdc.FollowOptions{Filter: f}) {
		if err != nil {
			return n, err
		}
		n += len(batch.Events)
		if batch.State == cdc.Live {
			return n, nil
		}
	}
	return n, nil
}

// An event for one of many followers, each with a topic of its own, wakes all.
func TestFilteredFollowers(t *testing.T) {
	tab := newTable(t, "Followers of a Hub in memory, each with a topic of its own", "followers", "one event: CPU", "for each follower", "burst: CPU an event", "for each follower")
	for _, n := range steps(1, 10_000) {
		t.Run("", func(t *testing.T) {
			l := inMemory(t)
			t.Cleanup(func() { _ = l.Close() })
			c := follow(t, l, n, func(i int) cdc.Filter { return cdc.Filter{Topics: []string{topic(i)}} })
			publish := func(count int) {
				want := c.got.Load() + int64(count)
				for at := 0; at < count; at += 100 {
					if _, err := l.Append(t.Context(), events(at, min(100, count-at), n)...); err != nil {
						t.Fatal(err)
					}
				}
				until(t, "the followers have the events", func() bool { return c.got.Load() >= want })
				time.Sleep(2*time.Millisecond + time.Duration(n)*2*time.Microsecond) // those whom it does not concern wait again
			}
			cost := func(rounds, count int) time.Duration {
				start := control.CPU()
				for range rounds {
					publish(count)
				}
				return (control.CPU() - start) / time.Duration(rounds*count)
			}
			one, burst := cost(times(min(500, max(30, 100_000/n))), 1), cost(3, 1000*times(8))
			tab.row(n, one, one/time.Duration(n), burst, burst/time.Duration(n))
		})
	}
}

// A filter with many topics, as a grant may have.
func TestWideFilters(t *testing.T) {
	tab := newTable(t, "A filter with many topics", "topics of the filter", "Match, the last one", "Match, none of them", "Intersect with as many")
	var of100 time.Duration
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		var f cdc.Filter
		for i := range n {
			f.Topics = append(f.Topics, topic(i))
		}
		match := func(e cdc.Event) time.Duration {
			const calls = 1000
			return median(t, times(20), func() error {
				for range calls {
					f.Match(e)
				}
				return nil
			}) / calls
		}
		both := sorted(t, 10, func() error { f.Intersect(f); return nil })[0]
		switch {
		case n == 100:
			of100 = both
		case n == 10_000 && both > 2000*of100: // its square would be 10,000
			t.Errorf("a hundred times the topics make Intersect %d times as slow, from %v to %v", both/of100, of100, both)
		}
		tab.row(n, match(cdc.Event{Topic: topic(n - 1)}), match(cdc.Event{Topic: "other"}), both)
	}
}
