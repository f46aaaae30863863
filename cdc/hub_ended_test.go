package cdc_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/gapless-go/gapless/cdc"
)

// A log that will not come back ends the streams with what it said; nobody
// waits for it for ever.
func TestHubEndsWhenItsLogIsGone(t *testing.T) {
	for name, gone := range map[string]error{
		"deleted":             fmt.Errorf("store: the table was dropped: %w", cdc.ErrDeleted),
		"closed by its owner": fmt.Errorf("store: the database was closed: %w", cdc.ErrClosed),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &hooks{Log: newMem(t)}
				var told []error
				hub := newHub(t, log, &cdc.HubOptions{OnError: func(err error) { told = append(told, err) }})
				s := follow(t, hub, cdc.Latest(), nil)
				s.live()
				synctest.Wait() // the hub waits for the next event, which may still come
				failed := func(int) error { return gone }
				log.bounds, log.read, log.next, log.subscribe = failed, failed, failed, failed
				add(t, log.Log, 1)
				if err := s.error(); !errors.Is(err, gone) {
					t.Errorf("the stream ended with %v, want %v", err, gone)
				}
				synctest.Wait()
				if len(told) != 1 || !errors.Is(told[0], gone) {
					t.Errorf("OnError was told %v, want %v", told, gone)
				}
				if s := follow(t, hub, cdc.Latest(), nil); !errors.Is(s.end(), gone) {
					t.Error("a later stream does not end with what the log said")
				}
			})
		})
	}
}

// Follow without a Hub does not try again either.
func TestFollowEndsWhenItsLogIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooks{Log: newMem(t)}
		s := follow(t, log, cdc.Latest(), nil)
		s.live()
		log.next = func(int) error { return cdc.ErrDeleted }
		log.subscribe = func(int) error { t.Error("subscribed again"); return cdc.ErrDeleted }
		add(t, log.Log, 1)
		if err := s.end(); !errors.Is(err, cdc.ErrDeleted) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}
