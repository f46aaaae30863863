package cdc_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
)

// rewinding is a log of n events in which a test hands over what a
// subscription gets, with a stream from the beginning that has them all.
func rewinding(t *testing.T, n int, over func(cdc.Log) cdc.Log) (*handing, cdc.Log, *stream) {
	one := newMem(t)
	add(t, one, n)
	log := &handing{swapped: swapped{current: one, epoch: epochOf(t, one)}, ch: make(chan []cdc.Event, 10)}
	s := follow(t, over(log), cdc.Beginning(), nil)
	s.live()
	return log, one, s
}

// otherHistory is a log of n events that differ from those of add.
func otherHistory(t *testing.T, n int) cdc.Log {
	log := newMem(t)
	for range n {
		if _, err := log.Append(t.Context(), cdc.Event{Type: "other history"}); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

func bare(log cdc.Log) cdc.Log { return log }

// A log went back and grew again to where the stream is, and the events that
// would have told were lost to a lag: the bounds are what they were.
func TestALogThatGoesBackWhileItsSubscriptionLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, s := rewinding(t, 6, bare)
		log.swap(otherHistory(t, 6))
		log.ch <- nil // a lag, see handing.Next
		s.reset(cdc.ReasonDiverged)
	})
}

// What a subscription holds may be of two histories: a stream that has seen
// nothing of the first goes on with the second.
func TestEventsOfTwoHistoriesInOneNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, one, s := rewinding(t, 3, bare)
		add(t, one, 2)
		other := newMem(t)
		add(t, other, 3) // the same events: time stands still
		for range 3 {
			if _, err := other.Append(t.Context(), cdc.Event{Type: "other history"}); err != nil {
				t.Fatal(err)
			}
		}
		both := append(eventsOf(t, one, 4, 5), eventsOf(t, other, 4, 6)...)
		log.swap(other)
		log.ch <- both
		if got, want := s.until(6), []uint64{4, 5, 6}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A Hub starts at the head of its log. Before it has read the tag of the event
// there, a stream over it reads the whole log, which then goes back and grows
// again: the Hub begins in the second history, the stream is in the first.
func TestALogThatGoesBackWhileAHubStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newMem(t)
		add(t, one, 6)
		log := &handing{swapped: swapped{current: one, epoch: epochOf(t, one)}, ch: make(chan []cdc.Event, 10)}
		tagging, tagged := make(chan struct{}), make(chan struct{})
		h := &hooks{Log: log}
		h.read = func(n int) error {
			if n == 1 { // the Hub's own
				close(tagging)
				<-tagged
			}
			return nil
		}
		hub := newHub(t, h, nil)
		<-tagging
		s := follow(t, hub, cdc.Beginning(), nil)
		s.live()
		other := otherHistory(t, 6)
		log.swap(other)
		close(tagged)
		synctest.Wait()
		if _, err := cdc.Append(t.Context(), other, cdc.Event{Type: "other history"}); err != nil {
			t.Fatal(err)
		}
		log.hand(t, other, 4, 7)
		s.reset(cdc.ReasonDiverged)
		lost := eventsOf(t, one, 5, 5)[0].Cursor(epochOf(t, one))
		if page, err := hub.Read(t.Context(), lost, 10); err == nil {
			t.Errorf("after an event that was lost the Hub read %v, from what it kept", seqsOf(page.Events))
		}
	})
}

// A stream reads further than its Hub has, and the log goes back to where the
// Hub is. The page that both would keep is of the first history.
func TestALogThatGoesBackToWhereAHubIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newMem(t), newMem(t)
		add(t, one, 3)
		add(t, other, 3) // the same events: time stands still
		log := &handing{swapped: swapped{current: one, epoch: epochOf(t, one)}, ch: make(chan []cdc.Event, 10)}
		hub := newHub(t, log, nil)
		synctest.Wait()
		add(t, one, 3) // the Hub is not told
		first := follow(t, hub, cdc.Beginning(), nil)
		first.until(6)
		for range 4 {
			if _, err := other.Append(t.Context(), cdc.Event{Type: "other history"}); err != nil {
				t.Fatal(err)
			}
		}
		log.swap(other)
		log.hand(t, other, 4, 7)
		synctest.Wait()
		second := follow(t, hub, cdc.Beginning(), nil)
		if got := second.until(7); !reflect.DeepEqual(got, from(1, 7)) {
			t.Errorf("a stream from the beginning got %v, want 1 to 7", got)
		}
		first.live()
		first.reset(cdc.ReasonDiverged)
	})
}

// eventsOf returns the events from the first to the last seq.
func eventsOf(t *testing.T, log cdc.Log, first, last int) []cdc.Event {
	t.Helper()
	page, err := log.Read(context.Background(), cdc.Cursor{Epoch: epochOf(t, log), Seq: uint64(first) - 1}, last-first+1)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events
}
