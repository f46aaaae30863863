package redislog_test

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
	start := cdc.Beginning
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
		if cursor := f.position(); cursor.Epoch != "" {
			start = cdc.After(cursor)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (f *campaignFollower) position() cdc.Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor
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
	resets, silent                   int
}

// judge ends the writers, lets every follower reach the end and compares.
func (c *campaign) judge(loses bool) result {
	c.t.Helper()
	close(c.stop)
	c.writers.Wait()
	end := c.last()
	for _, f := range c.followers {
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			at := f.position()
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
	r, err := c.logs[0].Append(c.ctx, e)
	for tries := 0; errors.Is(err, cdc.ErrUnknownOutcome) && tries < 100; tries++ {
		time.Sleep(10 * time.Millisecond)
		r, err = c.logs[0].Append(c.ctx, e)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Cursor()
}

// compare judges all that has not been told to be lost: the log as it is, the
// appends of its epoch, and each follower's events since its last reset. Those
// may have begun under an older epoch only if the follower was never told.
func (c *campaign) compare(end cdc.Cursor, loses bool) result {
	c.t.Helper()
	r := result{acknowledged: c.appended.Load(), unknown: c.unknown.Load()}
	floor := bounds(c.t, c.logs[0]).Floor
	all := readAll(c.t, c.logs[0], cdc.Cursor{Epoch: end.Epoch, Seq: floor}, 500)
	stored := map[uint64]string{}
	judged := &verify.History{}
	log := judged.Log("log")
	log.Begin(cdc.Cursor{Epoch: end.Epoch, Seq: floor})
	for _, e := range all {
		stored[e.Seq] = e.Tag()
		log.Add(e.Seq, verify.RecordOf(e))
	}
	for _, a := range c.history.Appends {
		if a.Epoch == end.Epoch {
			judged.Append(a)
		} else if !loses {
			r.silent++
			c.t.Errorf("the epoch changed from %s to %s though nothing was lost", a.Epoch, end.Epoch)
			break
		}
	}
	for _, f := range c.followers {
		r.delivered += int64(f.delivered)
		r.resets += len(f.resets)
		if len(f.resets) > 0 && !loses {
			c.t.Errorf("%s was reset though nothing was lost: %v", f.name, f.resets[0])
		}
		if text := f.check(stored); text != "" {
			r.silent++
			c.t.Errorf("%s: %s", f.name, text)
		}
		s := judged.Stream(f.name)
		s.Begin(cdc.Cursor{Epoch: end.Epoch, Seq: f.begin.Seq})
		for _, e := range f.events {
			s.Add(e.Seq, verify.RecordOf(e))
		}
		s.Finish(errors.New("the campaign is over"))
	}
	if loses && r.resets == 0 {
		c.t.Error("nothing was lost: the fault did not happen")
	}
	for _, v := range verify.Verify(judged) {
		r.silent++
		c.t.Error(v)
	}
	return r
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
