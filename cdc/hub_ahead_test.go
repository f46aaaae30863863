package cdc_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
)

// coldEvents is how many events a Hub reads at once below its tail.
const coldEvents = 1024

// pages reads n pages through the Hub, from the cursor on.
func pages(t *testing.T, hub *cdc.Hub, at cdc.Cursor, n int) cdc.Cursor {
	t.Helper()
	for range n {
		page, err := hub.Read(t.Context(), at, coldEvents)
		if err != nil || len(page.Events) != coldEvents {
			t.Fatalf("Read(%v) = %d events, %v", at, len(page.Events), err)
		}
		at = page.Events[coldEvents-1].Cursor(at.Epoch)
		synctest.Wait()
	}
	return at
}

// What a reader of page after page will ask for is read while it handles what it
// has, one page ahead.
func TestHubReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := 0
		h := &hooks{Log: newMem(t)}
		h.read = func(n int) error {
			if n == failing {
				return errors.New("once")
			}
			return nil
		}
		add(t, h, coldEvents*6)
		hub := newHub(t, h, &cdc.HubOptions{TailEvents: 8})
		synctest.Wait()
		before := h.count("read")
		at := cdc.Cursor{Epoch: epochOf(t, h)}
		for i, want := range []int{1, 3, 4} { // nobody knows after one page that more will be asked for
			if at = pages(t, hub, at, 1); h.count("read")-before != want {
				t.Errorf("%d reads of the log after %d pages, want %d", h.count("read")-before, i+1, want)
			}
		}
		failing = h.count("read") + 1
		at = pages(t, hub, at, 1)
		if h.count("read") != failing {
			t.Fatal("the page that was to fail was not read ahead")
		}
		// Its reader reads for itself.
		if pages(t, hub, at, 2); h.count("read") != failing+2 {
			t.Errorf("%d reads after the one that failed, want 2", h.count("read")-failing)
		}
	})
}

// Readers that are slower than the log do not let it read more and more for
// them: what is read ahead would be forgotten before they come.
func TestHubReadsAheadForAFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, span = 20, coldEvents * 4
		h := &hooks{Log: newMem(t)}
		add(t, h, readers*span)
		add(t, h, 1)
		hub := newHub(t, h, &cdc.HubOptions{TailEvents: 1})
		synctest.Wait()
		before := h.count("read")
		for i := range readers {
			pages(t, hub, cdc.Cursor{Epoch: epochOf(t, h), Seq: uint64(i * span)}, 2)
		}
		if ahead := h.count("read") - before - 2*readers; ahead != 8 {
			t.Errorf("%d pages were read ahead, want 8", ahead)
		}
	})
}
