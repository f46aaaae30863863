package faults_test

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gapless-go/gapless/cdc"
	"github.com/gapless-go/gapless/cdc/verify"
)

// campaignFollower is a client: it follows one Hub, and after every break goes on
// at the other, from its cursor.
type campaignFollower struct {
	campaign *campaign
	name     string
	at       int // which Hub

	mu     sync.Mutex
	cursor cdc.Cursor
	resets []*cdc.ResetError
	// events since the last reset, and the cursor where they begin
	begin     cdc.Cursor
	events    []cdc.Event
	delivered int
}

func (f *campaignFollower) run() {
	c := f.campaign
	start := cdc.Beginning()
	for c.ctx.Err() == nil {
		hub := c.hubs[f.at%len(c.hubs)]
		for batch, err := range cdc.Follow(c.ctx, hub, start, &cdc.FollowOptions{Heartbeat: time.Second}) {
			if reset, ok := errors.AsType[*cdc.ResetError](err); ok {
				f.reset(reset)
			} else if err == nil {
				f.batch(batch)
			}
		}
		f.at++
		if cursor, _ := f.position(); cursor.Epoch != "" {
			start = cdc.After(cursor)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (f *campaignFollower) position() (at cdc.Cursor, delivered int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor, f.delivered
}

func (f *campaignFollower) batch(b cdc.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor.Epoch == "" {
		f.begin = b.Cursor
	}
	f.events = append(f.events, b.Events...)
	f.delivered += len(b.Events)
	f.cursor = b.Cursor
}

// reset is what a client does: it forgets what it has and goes on from there.
func (f *campaignFollower) reset(r *cdc.ResetError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resets = append(f.resets, r)
	f.events, f.begin, f.cursor = nil, r.Resume, r.Resume
}

// result of one kind of fault.
type result struct {
	acknowledged, unknown, delivered int64
	lost, resets, silent             int
}

// judge ends the writers, lets every follower reach the end and compares.
func (c *campaign) judge(loses loss) result {
	c.t.Helper()
	close(c.stop)
	c.writers.Wait()
	end := c.last()
	for _, f := range c.followers {
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			at, _ := f.position()
			if at.Epoch == end.Epoch && at.Seq == end.Seq {
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("%s is at %v, the log ends at %v", f.name, at, end)
			}
		}
	}
	c.cancel()
	c.readers.Wait()
	return c.compare(end, loses)
}

// last appends one more event and returns where it is. Connections in the pool
// may have been cut by the fault, so it does what every writer has to do.
func (c *campaign) last() cdc.Cursor {
	c.t.Helper()
	e := cdc.Event{ID: "last", Type: "n"}
	var r cdc.Receipt
	c.await("the last append", func() bool {
		var err error
		r, err = c.logs[0].Append(c.ctx, e)
		return err == nil
	})
	return r.Cursor()
}

// compare judges all that has not been told to be lost: the log as it is, the
// appends of its epoch, and each follower's events since its last reset. Those
// may have begun under an older epoch only if the follower was never told.
func (c *campaign) compare(end cdc.Cursor, loses loss) result {
	c.t.Helper()
	r := result{acknowledged: c.acknowledged(), unknown: c.unknown.Load()}
	floor, all := c.readAll(end.Epoch)
	stored, ids := map[uint64]string{}, map[string]bool{}
	judged := &verify.History{}
	log := judged.Log("log")
	log.Begin(cdc.Cursor{Epoch: end.Epoch, Seq: floor})
	for _, e := range all {
		stored[e.Seq], ids[e.ID] = e.Tag(), true
		log.Add(e.Seq, verify.RecordOf(e))
	}
	for _, a := range c.history.Appends {
		if !ids[a.Records[0].ID] {
			r.lost++
		}
		if a.Epoch == end.Epoch {
			judged.Append(a)
		} else if loses == nothing {
			r.silent++
			c.t.Errorf("the epoch changed from %s to %s though nothing was lost", a.Epoch, end.Epoch)
			break
		}
	}
	if r.lost > 0 && loses < maybe {
		c.t.Errorf("%d acknowledged events are lost", r.lost)
	}
	for _, f := range c.followers {
		c.compareFollower(f, &r, loses, stored)
		s := judged.Stream(f.name)
		s.Begin(cdc.Cursor{Epoch: end.Epoch, Seq: f.begin.Seq})
		for _, e := range f.events {
			s.Add(e.Seq, verify.RecordOf(e))
		}
		s.Finish(errors.New("the campaign is over"))
	}
	if loses == surely && (r.resets == 0 || r.lost == 0) {
		c.t.Error("nothing was lost: the fault did not happen")
	}
	for _, v := range verify.Verify(judged) {
		r.silent++
		c.t.Error(v)
	}
	return r
}

// compareFollower counts what one follower got, and reports a reset that had no
// reason and events that are not those of the log.
func (c *campaign) compareFollower(f *campaignFollower, r *result, loses loss, stored map[uint64]string) {
	c.t.Helper()
	r.delivered += int64(f.delivered)
	r.resets += len(f.resets)
	if len(f.resets) > 0 && loses == nothing {
		c.t.Errorf("%s was reset though nothing was lost: %v", f.name, f.resets[0])
	}
	if text := f.check(stored); text != "" {
		r.silent++
		c.t.Errorf("%s: %s", f.name, text)
	}
}

// readAll returns the log as it is now.
func (c *campaign) readAll(epoch string) (floor uint64, all []cdc.Event) {
	c.t.Helper()
	b, err := c.logs[0].Bounds(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	at := cdc.Cursor{Epoch: epoch, Seq: b.Floor}
	for {
		page, err := c.logs[0].Read(c.t.Context(), at, 500)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, page.Events...)
		if page.Next == at.Seq {
			return b.Floor, all
		}
		at = cdc.Cursor{Epoch: epoch, Seq: page.Next}
	}
}

// check compares what the follower has with the log, event by event.
func (f *campaignFollower) check(stored map[uint64]string) string {
	seq := f.begin.Seq
	for _, e := range f.events {
		if seq++; e.Seq != seq {
			return fmt.Sprintf("got %d where %d follows: a silent jump", e.Seq, seq)
		}
		if tag, ok := stored[seq]; !ok || tag != e.Tag() {
			return fmt.Sprintf("has %d %q, which the log does not: it was lost and nobody said so", seq, e.ID)
		}
	}
	return ""
}
